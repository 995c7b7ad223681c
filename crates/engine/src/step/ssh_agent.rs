//! The socket of `RUN --mount=type=ssh`: one of our own for each mount, with the owner and mode that the mount asks for,
//! behind which the user's ssh agent answers. It is gone, with every connection through it, when the step ends.
//!
//! The agent's own socket is not shown to the step: its owner and mode are the user's, and a connection that outlives
//! the step could not be cut. Source: BuildKit `session/sshforward`.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use jettison_store::{ScratchDir, Store};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown as End, SocketAddrUnix, SocketFlags, SocketType, shutdown};

use crate::error::Error;
use crate::filesystem;

/// Connections of one step at the same time; more are refused.
const CONNECTIONS_MAX: usize = 256;
/// Name of the socket in its folder.
const NAME: &str = "agent";
/// Bytes that are passed on at once: more than an agent's message.
const BUFFER_BYTES: usize = 16 << 10;

/// How long to wait before an agent that has too many callers is called again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Both ends of every connection, so that they can be cut when the step is over.
type Open = Mutex<BTreeMap<u64, [UnixStream; 2]>>;

/// A socket that leads to an agent.
#[derive(Debug)]
pub(super) struct AgentSocket {
    path: PathBuf,
    listener: UnixListener,
    stop: Arc<AtomicBool>,
    open: Arc<Open>,
    accepting: Option<JoinHandle<()>>,
    _scratch: ScratchDir,
}

impl AgentSocket {
    /// Starts to listen for a step.
    pub(super) fn listen(store: &Store, agent: &Path, mode: u32, owner: (u32, u32)) -> Result<Self, Error> {
        let scratch = store.scratch_dir()?;
        let path = scratch.path().join(NAME);
        let failed = || Error::io("listen on", &path);
        // Through the descriptor: the name of a socket must be shorter than 108 bytes.
        let folder = filesystem::open_directory(scratch.path())?;
        let short = format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd());
        let listener = UnixListener::bind(short).map_err(failed())?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).map_err(failed())?;
        if owner != (0, 0) {
            // A single-id sandbox cannot give files away; then all ids are one anyway.
            let _ = std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1));
        }
        let (stop, open) = (Arc::new(AtomicBool::new(false)), Arc::<Open>::default());
        let (agent, accepts) = (agent.to_owned(), listener.try_clone().map_err(failed())?);
        let (stops, opens) = (Arc::clone(&stop), Arc::clone(&open));
        let accepting = Builder::new().spawn(move || accept(&accepts, &agent, &stops, &opens));
        let accepting = Some(accepting.map_err(Error::io("start", "a thread"))?);
        Ok(Self { path, listener, stop, open, accepting, _scratch: scratch })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AgentSocket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes whoever waits for a connection. (To make one could mean to wait, behind those that the step has made.)
        let _ = shutdown(&self.listener, End::Both);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).values().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &UnixListener, agent: &Path, stop: &AtomicBool, open: &Arc<Open>) {
    for (number, stream) in (0..).zip(listener.incoming()) {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(from) = stream else { continue };
        let Ok(to) = connect(agent, stop) else { continue };
        let (Ok(from_back), Ok(to_back)) = (from.try_clone(), to.try_clone()) else { continue };
        let (Ok(a), Ok(b)) = (from.try_clone(), to.try_clone()) else { continue };
        {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            if open.len() >= CONNECTIONS_MAX {
                continue;
            }
            open.insert(number, [a, b]);
        }
        let opens = Arc::clone(open);
        let started = Builder::new().spawn(move || {
            // Where there are too many threads the connection ends.
            if let Ok(answers) = Builder::new().spawn(move || pass_on(to_back, from_back)) {
                pass_on(from, to);
                // A thread that panicked has ended as well.
                let _ = answers.join();
            }
            opens.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        });
        if started.is_err() {
            open.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        }
    }
}

/// Calls the agent, as long as the step goes on: one that answers nobody must not keep us from ending.
fn connect(agent: &Path, stop: &AtomicBool) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(agent)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => {
                let stream = UnixStream::from(socket);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(Errno::AGAIN) if !stop.load(Ordering::SeqCst) => std::thread::sleep(BUSY_PAUSE),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Passes on what comes until it ends, then says so.
fn pass_on(mut from: UnixStream, mut to: UnixStream) {
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(n) if n > 0 => {
                if to.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_both_ways_and_cuts_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let agent = dir.path().join("agent");
        let listener = UnixListener::bind(&agent).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut back = stream.try_clone().unwrap();
                std::thread::spawn(move || io::copy(&mut &stream, &mut back));
            }
        });
        let socket = AgentSocket::listen(&store, &agent, 0o640, (0, 0)).unwrap();
        let mode = std::fs::metadata(socket.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        let mut client = UnixStream::connect(socket.path()).unwrap();
        client.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        drop(socket);
        assert_eq!(client.read(&mut answer).unwrap(), 0);
    }

    #[test]
    fn an_agent_that_answers_nobody_does_not_keep_a_step_from_ending() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let agent = dir.path().join("agent");
        let deaf = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&deaf, &SocketAddrUnix::new(&agent).unwrap()).unwrap();
        rustix::net::listen(&deaf, 0).unwrap();
        let stop = AtomicBool::new(true);
        let waiting: Vec<_> = std::iter::from_fn(|| connect(&agent, &stop).ok()).collect();
        assert!(!waiting.is_empty(), "it has a caller, and room for no more");
        let socket = AgentSocket::listen(&store, &agent, 0o600, (0, 0)).unwrap();
        let callers: Vec<_> = (0..8).map(|_| UnixStream::connect(socket.path()).unwrap()).collect();
        drop(socket);
        for mut caller in callers {
            assert_eq!(caller.read(&mut [0]).unwrap_or(0), 0);
        }
    }
}
