//! The seccomp filter of a step: `table.rs` says what is allowed, `emit.rs` makes a program of it.

mod emit;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use emit::Instruction;

use crate::Error;
use crate::error::Context as _;
use crate::sys;

/// Puts the filter on this process and all that it will start. Needs CAP_SYS_ADMIN in our user namespace: without it
/// the kernel would want no_new_privs, and then `sudo` and `su` in a step would not work.
pub(super) fn install() -> Result<(), Error> {
    let program = emit::program();
    if program.len() <= 2 {
        // An architecture without a table: refuse rather than run without the protection that was asked for.
        return Err(Error::Internal("there is no seccomp profile for this architecture".into()));
    }
    sys::install_seccomp_filter(&program).context("install the seccomp filter")
}
