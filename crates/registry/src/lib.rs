//! The distribution protocol: pull, push, credentials, retry.
//!
//! One [`Client`] serves a whole program and all of its threads. It is blocking, pools connections per host, and
//! asks a callback between reads whether it should stop. Everything that it hands out was verified against a digest.
//!
//! Where to read next: [`Client`] for what it can do, [`Config`] for what it obeys, `transport/` for one request with
//! all that can happen to it, `blob_push.rs` for the long way of an upload, `credentials/` for who we say we are.
//! `fake` is a registry for tests, with scripted faults.

mod blob_pull;
mod blob_push;
mod client;
mod config;
mod credentials;
mod download;
mod error;
#[cfg(any(test, feature = "fake"))]
#[doc(hidden)]
pub mod fake;
mod hosts;
mod manifest;
mod mount;
mod resolve;
mod transport;

pub use client::{Client, Fetched, Pushed, Seen};
pub use config::Config;
pub use download::{Download, Downloaded};
pub use error::{Error, Kind, Message, Refusal};

/// What functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
