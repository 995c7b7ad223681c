//! What can go wrong before the program of the step runs, as data.
//!
//! Most of these arise in the child that sets up the world and travel back through its control socket, so they are
//! serialisable. They are never exit codes: an exit code always comes from the program itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An error number of the kernel that can be sent between processes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // "No such file or directory (os error 2)": people search for the words, not for the number.
        let text = std::io::Error::from_raw_os_error(self.0).to_string();
        f.write_str(text.split(" (os error").next().unwrap_or(&text))
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self})", self.0)
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// Why a process could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// USER names someone who is not in the image's `/etc/passwd`.
    #[error("unable to find user {user}: no matching entries in passwd file")]
    UnknownUser {
        /// The name.
        user: String,
    },
    /// USER names a group that is not in the image's `/etc/group`.
    #[error("unable to find group {group}: no matching entries in group file")]
    UnknownGroup {
        /// The name.
        group: String,
    },
    /// The user or group exists in the image, but our user namespace has no such id.
    #[error("cannot become {uid}:{gid}: this id is not mapped in the user namespace")]
    IdNotMapped {
        /// The user id.
        uid: u32,
        /// The group id.
        gid: u32,
    },
    /// The working directory could not be made or entered.
    #[error("working directory {path}: {errno}")]
    WorkingDirectory {
        /// Which.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// Of a mount and the place where it shall be, one is a directory and the other is not.
    #[error("cannot mount a {} on {target}, which is {}", .kinds.0, .kinds.1)]
    MountKinds {
        /// Where.
        target: String,
        /// What the source is, and what is there.
        kinds: (String, String),
    },
    /// There is no command to run.
    #[error("the command is empty")]
    EmptyCommand,
    /// The program is not in the root (or not on PATH).
    #[error("{program}: not found in {}", if .program.contains('/') { "the image" } else { "PATH" })]
    ProgramNotFound {
        /// As asked for.
        program: String,
    },
    /// The program is there, but the interpreter it names (`#!` line or ELF loader) is not.
    #[error("{program}: is there, but the interpreter or loader that it needs is not")]
    InterpreterNotFound {
        /// Path inside the root.
        program: String,
    },
    /// The file may not be executed (no x bit, a directory, a `noexec` mount).
    #[error("{program}: permission denied (not executable?)")]
    ProgramNotExecutable {
        /// Path inside the root.
        program: String,
    },
    /// The file is no program of this machine (another architecture, a script without `#!`).
    #[error(
        "{program}: not a program for this machine (another architecture, or a script without a #! line)"
    )]
    ProgramFormat {
        /// Path inside the root.
        program: String,
    },
    /// The program could not be executed for another reason.
    #[error("{program}: {errno}")]
    Execute {
        /// Path inside the root.
        program: String,
        /// Why.
        errno: Errno,
    },
    /// A mount failed.
    #[error("mount {what} on {target}: {errno}")]
    Mount {
        /// What was to be mounted.
        what: String,
        /// Where, inside the root.
        target: String,
        /// Why.
        errno: Errno,
    },
    /// The kernel does not take a limit of a control group.
    #[error("the kernel does not take {value:?} for {file}: {errno}")]
    Limit {
        /// The file that says it.
        file: String,
        /// What should have been written.
        value: String,
        /// Why.
        errno: Errno,
    },
    /// Any other step of the set-up.
    #[error("{action}: {errno}")]
    System {
        /// What was attempted.
        action: String,
        /// Why.
        errno: Errno,
    },
    /// The child that sets up the world ended without a word (killed from outside).
    #[error("the process that sets up the sandbox was ended from outside ({status})")]
    ChildVanished {
        /// How it ended.
        status: String,
    },
    /// No namespaces can be had here; see [`crate::Probe`].
    #[error("commands cannot be run in isolation here: {reason}")]
    NoNamespaces {
        /// The cause.
        reason: String,
    },
    /// Something that should not be possible.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Why the kernel refused a part of the set-up; `None` if it did not.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::WorkingDirectory { errno, .. } | Self::Mount { errno, .. } | Self::System { errno, .. } => {
                Some(*errno)
            }
            _ => None,
        }
    }
}

/// Adds what was attempted to an error of the kernel.
pub(crate) trait Context<T> {
    /// `action` reads as the start of a sentence: "unshare namespaces".
    fn context(self, action: impl Into<String>) -> Result<T, Error>;
    /// For mounts.
    fn mounting(self, what: impl Into<String>, target: impl Into<String>) -> Result<T, Error>;
}

impl<T, E: Into<Errno>> Context<T> for Result<T, E> {
    fn context(self, action: impl Into<String>) -> Result<T, Error> {
        self.map_err(|errno| Error::System { action: action.into(), errno: errno.into() })
    }

    fn mounting(self, what: impl Into<String>, target: impl Into<String>) -> Result<T, Error> {
        self.map_err(|errno| Error::Mount { what: what.into(), target: target.into(), errno: errno.into() })
    }
}
