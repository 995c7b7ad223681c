//! How our process and a child that sets up a sandbox talk: one packet socket, JSON messages. (How the child comes into
//! being is another conversation: `launcher.rs`.)
//!
//! ```text
//! our process                         child (descriptors 3 and 4)
//!   spec ──────── memfd, sealed by nature of being read once ───▶
//!   Joins + a control group's file ─────▶        for each group that pid 1 shall be in; the spec says how many
//!        ◀─────── Begun(process number)           there is a child, and it is ours to wait for
//!        ◀─────── Started + pidfd of pid 1        the program was executed
//!        ◀─────── Failed(error)                   it was not, and why
//!        ◀─────── Exited(exit)                    it has ended, stubs are gone
//!   end of socket (we died) ───▶ kill pid 1       nothing remains, however we ended
//! ```
//!
//! The socket doubles as the life line. PR_SET_PDEATHSIG would not do here: it fires when the *thread* that started the
//! child ends, and our process has many that come and go.

use std::ffi::{CString, OsStr};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};

use crate::{Error, Exit, Probe};

/// First argument of a child: what it is to be. Nobody types these; they contain a space. This one copies itself for
/// each sandbox; see `launcher.rs`.
pub(crate) const LAUNCHER_ROLE: &str = "jettison: launcher";
/// A child that tries what is permitted here.
pub(crate) const PROBE_ROLE: &str = "jettison: probe";

/// The child's end of the socket.
pub(crate) const CONTROL: RawFd = 3;
/// Where the child reads its spec.
pub(crate) const SPEC: RawFd = 4;
/// Descriptors from here on have no business in a child.
pub(crate) const FIRST_FOREIGN: RawFd = 5;

/// Longer messages do not exist (errors carry a path or two).
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What is in the memfd.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task<Spec> {
    /// What to run.
    pub(crate) spec: Spec,
    /// How many files of control groups come through the socket ([`Message::Joins`]).
    pub(crate) groups: usize,
}

/// What the child says, and the one thing that it hears.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Said to the child, before it says anything: comes with a file that pid 1 writes to, to be in a control group.
    Joins,
    /// Said first, by the child itself. Before this it has done nothing that anybody could notice.
    Begun(i32),
    /// The program was executed. Comes with a pidfd of pid 1.
    Started,
    /// The program was not executed.
    Failed(Error),
    /// The program has ended.
    Exited(Exit),
    /// The answer of a probing child.
    Probed(Probe),
}

/// Both ends.
pub(crate) fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends a message, perhaps with a descriptor.
pub(crate) fn send(socket: BorrowedFd<'_>, message: &Message, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.as_slice();
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for a message. `None`: the other side is gone.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Message, Option<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?.bytes,
        }
    };
    if length == 0 {
        return Ok(None);
    }
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(Some((serde_json::from_slice(&bytes[..length])?, fd)))
}

/// Arguments of a child.
pub(crate) fn arguments(role: &str) -> Vec<CString> {
    vec![CString::new(role).expect("roles have no null byte")]
}

/// The role in which this process was started, if it is a child of ours: its name says so, and the descriptor of the
/// socket is there (whoever calls us by such a name without it gets the ordinary program).
pub(crate) fn role() -> Option<&'static str> {
    let name = std::env::args_os().next()?;
    let role = [LAUNCHER_ROLE, PROBE_ROLE].into_iter().find(|role| name == OsStr::new(role))?;
    let control = crate::sys::inherited(CONTROL).ok()?;
    let is_socket = rustix::net::sockopt::socket_type(control.as_fd()) == Ok(SocketType::SEQPACKET);
    // Handed out again to the role itself.
    std::mem::forget(control);
    is_socket.then_some(role)
}
