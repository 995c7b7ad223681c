//! Dockerfile text to typed instructions with spans; words, heredocs, mounts and ignore files.
//!
//! Pure: text in, values out, nothing read from disk or environment. [`parse`] never fails: it returns what it
//! understood and what is wrong with the rest, so that one run reports every mistake. What needs an environment
//! (variables, other stages, images) is left as written for the planner, which calls [`expand`] and [`mount`].
//!
//! Read next: [`ast`] for what comes out, `parse.rs` for how, [`expand`] for words, [`ignore`] for `.dockerignore`,
//! [`lint`] for the checks.

pub mod ast;
mod diagnostic;
pub mod expand;
pub mod ignore;
mod instruction;
mod lex;
pub mod lint;
pub mod mount;
mod parse;
pub mod source;
mod statement;
pub mod suggest;

pub use ast::*;
pub use diagnostic::{Diagnostic, Severity};
pub use parse::{MAX_DIAGNOSTICS, MAX_LINE_BYTES, MAX_SOURCE_BYTES, Parsed, parse, parse_onbuild};
