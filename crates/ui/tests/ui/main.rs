//! What people and programs see of a build: frames, plain text, JSON lines, and the view that writes them.

mod frame;
mod plain;
mod rawjson;
mod support;
mod view;
