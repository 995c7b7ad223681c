//! The start-proof: will a container of this image start, decided from its files alone.
//!
//! The rules, one file per family, each rule with a stable name that `docs/verify.md` lists:
//!
//! | file | rules |
//! |---|---|
//! | `user.rs` | USER is known, WORKDIR is there |
//! | `command.rs` | ENTRYPOINT and CMD lead to a file that may be executed |
//! | `script.rs` | `#!` lines and the interpreters that they name |
//! | `binary.rs` | ELF: machine, loader, libraries, versions of symbols |
//! | `argument.rs` | one step into the arguments of interpreters |
//! | `healthcheck.rs` | HEALTHCHECK, by the same rules |
//! | `doubt.rs` | what files alone cannot say: certificates, time zones, … |
//! | `dlopen.rs` | libraries that are loaded by name |
//! | `remedy.rs` | the ways out, as text to paste |

mod argument;
mod binary;
mod command;
mod dlopen;
mod doubt;
mod finding;
mod healthcheck;
mod permission;
mod remedy;
mod script;
mod user;
mod words;

use std::fmt::Debug;
use std::io;

use jettison_oci::{ContainerConfig, Platform};

pub use doubt::{BUNDLES, ZONES};
pub use finding::{Finding, Fix, Report, Severity, Subject, Verdict};
pub use words::{cleaned, exec_form, simple_words};

use crate::loader::Closure;
use crate::tree::{Identity, Place, Tree, View};

/// PATH of an image that sets none. Source: BuildKit `util/system/path.go`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image to judge.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Its merged files.
    pub tree: &'a dyn Tree,
    /// Its config.
    pub config: &'a ContainerConfig,
    /// The platform that it is for.
    pub platform: &'a Platform,
    /// Where its files came from; for better fixes.
    pub provenance: Option<&'a dyn Provenance>,
}

/// Where files of an image came from, as far as its builder knows.
pub trait Provenance: Debug {
    /// The stage or image that the file at `path` (relative) was copied from; `None` if it came another way.
    fn source(&self, path: &[u8]) -> Option<Source>;

    /// The instruction that brought the file at `path`, as it is written.
    fn instruction(&self, path: &[u8]) -> Option<String> {
        let _ = path;
        None
    }
}

/// A stage or image that files were copied from.
#[derive(Debug)]
pub struct Source {
    /// What `COPY --from=` calls it.
    pub name: String,
    /// Its files.
    pub tree: Box<dyn Tree>,
    /// Its RUN instructions as written, in order.
    pub runs: Vec<String>,
}

/// Whether [`prove`] looks into the files of an image with this config: not if it starts nothing and names nobody.
pub fn needs_files(config: &ContainerConfig) -> bool {
    !words::argv(config).is_empty()
        || config.healthcheck.is_some()
        || !config.user.is_empty()
        || !matches!(&config.working_dir[..], "" | "/")
}

/// Decides whether `image` starts.
///
/// # Errors
/// If the files cannot be read.
pub fn prove(image: &Image<'_>) -> io::Result<Report> {
    let config = image.config;
    let mut proof = Proof::new(image);
    proof.user()?;
    let argv = words::argv(config);
    let mut program = None;
    if argv.is_empty() {
        proof.empty_command();
    } else {
        program = proof.command(&argv, 0)?;
        if let Some(program) = &program {
            proof.arguments(program, &argv)?;
            proof.doubts(program)?;
        }
    }
    proof.healthcheck()?;
    let mut findings = proof.findings;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(Report {
        verdict: Report::verdict_of(&findings),
        command: argv,
        program: program.as_ref().map(|program| shown(&program.place.path)),
        kind: program.map(|program| program.kind),
        findings,
    })
}

/// A proof under way.
struct Proof<'a> {
    image: &'a Image<'a>,
    view: View<'a>,
    /// Whom the program runs as; root if USER is not known.
    identity: Identity,
    /// Absolute.
    working_directory: Vec<u8>,
    /// What the command at hand is part of.
    subject: Subject,
    findings: Vec<Finding>,
}

/// A program that the kernel would start, or a file that would be one.
struct Program {
    place: Place,
    /// `static`, `dynamic, glibc, 3 libraries`, `script for /bin/sh`.
    kind: String,
    /// What is loaded with it: for scripts, with the interpreter.
    closure: Option<Closure>,
    /// The ELF file at the end of all scripts.
    binary: Option<Place>,
}

impl<'a> Proof<'a> {
    fn new(image: &'a Image<'a>) -> Self {
        let directory = image.config.working_dir.as_bytes();
        Self {
            image,
            view: View::new(image.tree),
            identity: Identity::root(),
            working_directory: if directory.starts_with(b"/") {
                directory.to_vec()
            } else {
                [b"/", directory].concat()
            },
            subject: Subject::Command,
            findings: Vec::new(),
        }
    }

    fn find(
        &mut self,
        rule: &'static str,
        severity: Severity,
        subject: Subject,
        message: String,
    ) -> &mut Finding {
        let finding = Finding { rule, severity, message, subject, fixes: Vec::new() };
        // Two ways may lead to the same finding: a command and its health check use the same interpreter.
        let known = self.findings.iter().position(|f| f.rule == rule && f.message == finding.message);
        let at = known.unwrap_or_else(|| {
            self.findings.push(finding);
            self.findings.len() - 1
        });
        &mut self.findings[at]
    }

    fn error(&mut self, rule: &'static str, subject: Subject, message: String) -> &mut Finding {
        self.find(rule, Severity::Error, subject, message)
    }

    fn warning(&mut self, rule: &'static str, subject: Subject, message: String) -> &mut Finding {
        self.find(rule, Severity::Warning, subject, message)
    }

    /// The value of a variable of the image.
    fn variable(&self, name: &str) -> Option<&'a str> {
        self.image.config.env_value(name)
    }

    /// Directories of PATH that count: Go's LookPath, which runtimes use, takes no relative ones.
    fn search_path(&self) -> Vec<&'a str> {
        let path = self.variable("PATH").unwrap_or(DEFAULT_PATH);
        path.split(':').filter(|directory| directory.starts_with('/')).collect()
    }

    /// A path as the program sees it, absolute.
    fn absolute(&self, path: &str) -> Vec<u8> {
        if path.starts_with('/') {
            path.as_bytes().to_vec()
        } else {
            [&self.working_directory, &b"/"[..], path.as_bytes()].concat()
        }
    }

    /// Whether a path lies in a declared volume: what a container finds there, nobody knows.
    fn is_in_volume(&self, path: &[u8]) -> bool {
        let path = words::cleaned(path);
        self.image.config.volumes.keys().any(|volume| {
            let volume = words::cleaned(volume.as_bytes());
            path.strip_prefix(&volume[..]).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    }
}

/// A relative path as people write it.
fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path).trim_start_matches('/'))
}
