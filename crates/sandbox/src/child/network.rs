//! The network of a step that is to have none: an own network namespace, in which only the loopback interface is up.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::os::fd::AsFd as _;

use crate::error::Context as _;
use crate::{Error, sys};

/// Brings `lo` up (the kernel then gives it 127.0.0.1 and ::1).
pub(super) fn bring_loopback_up() -> Result<(), Error> {
    let action = "bring the loopback interface up";
    let socket =
        socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).context(action)?;
    sys::bring_loopback_up(socket.as_fd()).context(action)
}
