//! Which capabilities a step has: Docker's default fourteen, or all that we have.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use crate::Error;
use crate::error::Context as _;

/// Docker's defaults: `CapBnd: 00000000a80425fb`.
const DEFAULT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// More capabilities than a kernel will know for some time.
const NUMBERS: u32 = 64;

/// Limits what this process and its children can ever get. Before the user changes: that takes CAP_SETPCAP away.
pub(super) fn limit_bounding_set() -> Result<(), Error> {
    for number in 0..NUMBERS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        // Fails from the first number on that this kernel does not know.
        let Ok(has) = capability_is_in_bounding_set(capability) else { break };
        if has && !DEFAULT.contains(capability) {
            remove_capability_from_bounding_set(capability).context("limit the capabilities")?;
        }
    }
    Ok(())
}

/// Gives root its fourteen; for others the change of user has left none, and there is nothing to do. Inheritable stays
/// empty (CVE-2022-24769): programs with inheritable file capabilities would gain them for everybody. After the user
/// has changed, for changing it needs what is dropped here.
pub(super) fn limit_own(is_root: bool) -> Result<(), Error> {
    let own = if is_root { DEFAULT } else { CapabilitySet::empty() };
    let sets = CapabilitySets { effective: own, permitted: own, inheritable: CapabilitySet::empty() };
    let _ = clear_ambient_capability_set();
    set_capabilities(None, sets).context("limit the capabilities")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_set_is_that_of_docker() {
        assert_eq!(DEFAULT.bits(), 0xa804_25fb);
    }
}
