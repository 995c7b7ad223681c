//! The launcher: a child of our program that waits, single-threaded and with nothing open, and copies itself whenever a
//! sandbox is to be set up.
//!
//! To execute our own program anew for each step would cost a fifth of what a step costs: mapping and relocating some
//! megabytes, of which the set-up needs little. Forking our process itself is no choice, for it has threads. So it is
//! executed once, for the first step, and forked from then on. It never reads a spec, so no copy knows of another step.
//!
//! ```text
//! our process                                launcher
//!   five descriptors of the new child ──────▶ fork; the copy becomes *our* child (CLONE_PARENT), as if executed by us
//!                  ◀────── its process number, or the error
//!   end of socket (we died) ────────────────▶ ends
//! ```

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use rustix::process::{Pid, setsid};

use crate::sys::{self, Fork};

/// What a child starts with: standard input, output, errors, its end of the socket, its spec.
pub(crate) const DESCRIPTORS: usize = 5;

/// A request is its descriptors; the kernel wants a byte with them.
const REQUEST: [u8; 1] = *b"s";

/// Our end of the socket to the launcher of this process, once there is one.
static LAUNCHER: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Has a child set up a sandbox. `execute` starts a launcher and returns our end of its socket.
pub(crate) fn start(
    descriptors: [BorrowedFd<'_>; DESCRIPTORS],
    execute: impl Fn() -> Result<OwnedFd, crate::Error>,
) -> Result<io::Result<Pid>, crate::Error> {
    let mut launcher = LAUNCHER.lock().unwrap_or_else(PoisonError::into_inner);
    let there = match &*launcher {
        // If somebody has killed it another one will do; it has not heard what we want.
        Some(socket) => request(socket, &descriptors).is_ok(),
        None => false,
    };
    if !there {
        let socket = launcher.insert(execute()?);
        if let Err(error) = request(socket, &descriptors) {
            return Ok(Err(error));
        }
    }
    Ok(launcher.as_ref().map_or(Err(io::ErrorKind::BrokenPipe.into()), answer))
}

fn request(socket: &OwnedFd, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(descriptors));
    rustix::net::sendmsg(socket, &[IoSlice::new(&REQUEST)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn answer(socket: &OwnedFd) -> io::Result<Pid> {
    let mut answer = [0; size_of::<i32>()];
    let length = loop {
        match rustix::net::recv(socket, &mut answer, RecvFlags::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?.0,
        }
    };
    if length != answer.len() {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    match i32::from_ne_bytes(answer) {
        errno if errno <= 0 => Err(io::Error::from_raw_os_error(-errno)),
        pid => Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::InvalidData.into()),
    }
}

/// Plays the launcher. Returns in each copy, whose descriptors are then those of a child that was executed; the launcher
/// itself ends when our process does.
pub(crate) fn run(socket: &OwnedFd) {
    let _ = rustix::thread::set_name(c"jettison-launch");
    loop {
        let Some(descriptors) = next_request(socket) else { sys::exit(0) };
        let answer = match sys::fork_for_parent() {
            Ok(Fork::Child) => {
                // A session of its own, as if it had been executed by our process.
                let _ = setsid();
                if sys::become_standard(descriptors).is_err() {
                    sys::exit(1);
                }
                return;
            }
            Ok(Fork::Parent(pid)) => pid.as_raw_nonzero().get(),
            Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
        };
        drop(descriptors);
        if rustix::net::send(socket, &answer.to_ne_bytes(), SendFlags::NOSIGNAL).is_err() {
            sys::exit(0);
        }
    }
}

/// Waits for a request; `None` when nobody is there any more to ask.
fn next_request(socket: &OwnedFd) -> Option<[OwnedFd; DESCRIPTORS]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let length = loop {
        let mut parts = [IoSliceMut::new(&mut byte)];
        match rustix::net::recvmsg(socket.as_fd(), &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other.ok()?.bytes,
        }
    };
    if length == 0 {
        return None;
    }
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds.collect::<Vec<_>>()),
        _ => None,
    });
    received?.try_into().ok()
}
