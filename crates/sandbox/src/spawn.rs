//! Our side of a running step.

use std::io::PipeReader;

use crate::{Error, Spec};

/// Must be the first call in `main`: if this process is the child that sets up a sandbox, it never returns.
pub fn init() {}

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, if it exited.
    pub code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// It was killed while the kernel reported that it killed something for lack of memory.
    pub oom_killed: bool,
}

impl Exit {
    /// Whether the exit code is 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// As a shell counts: the exit code, or 128 plus the signal.
    pub fn shell_code(&self) -> i32 {
        self.code.unwrap_or_else(|| 128 + self.signal.unwrap_or(0))
    }
}

/// A running process in its sandbox. Dropping it kills everything inside.
#[derive(Debug)]
pub struct Child {
    /// Reads its standard output ([`crate::Stdio::Piped`]).
    pub stdout: Option<PipeReader>,
    /// Reads its standard error.
    pub stderr: Option<PipeReader>,
}

impl Child {
    /// Waits until the process and everything that it started have ended and the mount points made for it are gone.
    pub fn wait(self) -> Result<Exit, Error> {
        Err(Error::Internal("not there yet".into()))
    }

    /// A handle for killing it from elsewhere.
    pub fn killer(&self) -> Killer {
        Killer {}
    }
}

/// Kills a sandbox from any thread. Cheap to clone; outlives the child harmlessly.
#[derive(Clone, Debug)]
pub struct Killer {}

impl Killer {
    /// Ends everything inside at once. No error if it is over already.
    pub fn kill(&self) {}

    /// Sends a signal to the process (pid 1 inside: signals without a handler are ignored, except SIGKILL).
    pub fn signal(&self, signal: i32) {
        let _ = signal;
    }
}

/// Starts the process. Returns when it has been executed, or with the reason why not.
pub fn spawn(spec: &Spec) -> Result<Child, Error> {
    let _ = spec;
    Err(Error::Internal("not there yet".into()))
}
