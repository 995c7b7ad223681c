//! The launcher: a child of our program that waits, single-threaded and with nothing open, and keeps a copy of itself
//! ready for the next sandbox.
//!
//! To execute our own program anew for each step would cost a fifth of what a step costs: mapping and relocating some
//! megabytes, of which the set-up needs little. Forking our process itself is no choice, for it has threads. So it is
//! executed once, for the first step, and forked from then on. It never reads a spec, so no copy knows of another step.
//!
//! The copy is made ahead, while the step before runs, and has its namespaces by the time it is needed: they are the
//! same for every step. So a step sees the host's mounts of the moment at which the one before it began.
//!
//! ```text
//! our process                              launcher                             spare
//!                                            fork ─────────────────────────────▶ *our* child (CLONE_PARENT), as if
//!                                                                                executed by us; makes its namespaces
//!   five descriptors of the new child ─────▶ passes them on ───────────────────▶ sets the sandbox up
//!                                            forks the next one
//!   end of socket (we died) ───────────────▶ ends ── end of socket ────────────▶ ends
//! ```
//!
//! Nothing is answered here: the child speaks first on its own socket (`protocol.rs`), and if that ends instead, nobody
//! has begun.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use rustix::process::setsid;

use crate::Error;
use crate::child::{self, Prepared};
use crate::error::Context as _;
use crate::protocol::{self, Message};
use crate::sys::{self, Fork};

/// What a child starts with: standard input, output, errors, its end of the socket, its spec.
pub(crate) const DESCRIPTORS: usize = 5;

/// A request is its descriptors; the kernel wants a byte with them.
const REQUEST: [u8; 1] = *b"s";

/// Our end of the socket to the launcher of this process, once there is one.
static LAUNCHER: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Asks for a child that sets a sandbox up. `execute` starts a launcher and returns our end of its socket.
pub(crate) fn start(
    descriptors: [BorrowedFd<'_>; DESCRIPTORS],
    execute: impl Fn() -> Result<OwnedFd, Error>,
) -> Result<(), Error> {
    let mut launcher = LAUNCHER.lock().unwrap_or_else(PoisonError::into_inner);
    // If somebody has killed it another one will do. (One that dies just now may still seem to hear.)
    let is_asked = launcher.as_ref().is_some_and(|socket| request(socket, &descriptors).is_ok());
    if !is_asked {
        request(launcher.insert(execute()?), &descriptors).context("ask for a sandbox")?;
    }
    Ok(())
}

/// Has another launcher executed next time. What this one has been asked for it still does, if it lives.
pub(crate) fn give_up() {
    *LAUNCHER.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

fn request(socket: &OwnedFd, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(descriptors));
    rustix::net::sendmsg(socket, &[IoSlice::new(&REQUEST)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Plays the launcher. Returns in each copy, with what it has prepared; its descriptors are then those of a child that
/// was executed, whatever they were before. The launcher itself ends when our process does.
pub(crate) fn run(socket: OwnedFd) -> Prepared {
    let _ = rustix::thread::set_name(c"jettison-launch");
    // A request that came when there was no spare: it could not be made, or somebody has killed it.
    let mut unserved = None;
    loop {
        let spare = match fork_spare() {
            Ok(Spare::Itself(requests)) => {
                // Or nobody would notice the end of the launcher before ours.
                drop(socket);
                return wait_as_spare(requests);
            }
            Ok(Spare::Waits(spare)) => Ok(spare),
            Err(error) => Err(error),
        };
        let is_second_try = unserved.is_some();
        let Some(descriptors) = unserved.take().or_else(|| next_request(&socket)) else { sys::exit(0) };
        let given = spare.and_then(|spare| request(&spare, &descriptors.each_ref().map(OwnedFd::as_fd)));
        match given {
            Ok(()) => {}
            Err(_) if !is_second_try => unserved = Some(descriptors),
            Err(error) => {
                let error = Error::System {
                    action: "start the process that sets up the sandbox".to_owned(),
                    errno: error.into(),
                };
                let control = &descriptors[protocol::CONTROL as usize];
                let _ = protocol::send(control.as_fd(), &Message::Failed(error), None);
            }
        }
    }
}

/// What [`fork_spare`] returns.
enum Spare {
    /// In the launcher: the socket to the copy.
    Waits(OwnedFd),
    /// In the copy: where it hears of its sandbox.
    Itself(OwnedFd),
}

fn fork_spare() -> io::Result<Spare> {
    let (ours, theirs) = protocol::channel()?;
    Ok(match sys::fork_for_parent()? {
        Fork::Child => Spare::Itself(theirs),
        Fork::Parent(_) => Spare::Waits(ours),
    })
}

/// Prepares what every sandbox needs, then waits until it is told of one.
fn wait_as_spare(requests: OwnedFd) -> Prepared {
    // A session of its own, as if it had been executed by our process.
    let _ = setsid();
    let prepared = child::prepare();
    let Some(descriptors) = next_request(&requests) else { sys::exit(0) };
    drop(requests);
    if sys::become_standard(descriptors).is_err() {
        sys::exit(1);
    }
    prepared
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
