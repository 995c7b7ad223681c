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
use std::thread::JoinHandle;

use jettison_store::{ScratchDir, Store};

use crate::error::Error;
use crate::filesystem;

/// Connections of one step at the same time; more are refused.
const CONNECTIONS_MAX: usize = 256;
/// Name of the socket in its folder.
const NAME: &str = "agent";
/// Bytes that are passed on at once: more than an agent's message.
const BUFFER_BYTES: usize = 16 << 10;

/// Both ends of every connection, so that they can be cut when the step is over.
type Open = Mutex<BTreeMap<u64, [UnixStream; 2]>>;

/// A socket that leads to an agent.
#[derive(Debug)]
pub(super) struct AgentSocket {
    path: PathBuf,
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
        let accepting = std::thread::spawn({
            let (agent, stop, open) = (agent.to_owned(), Arc::clone(&stop), Arc::clone(&open));
            move || accept(&listener, &agent, &stop, &open)
        });
        Ok(Self { path, stop, open, accepting: Some(accepting), _scratch: scratch })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AgentSocket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes whoever waits for a connection.
        if let Ok(folder) = filesystem::open_directory(self.path.parent().unwrap_or(&self.path)) {
            let _ = UnixStream::connect(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()));
        }
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
        let Ok(to) = UnixStream::connect(agent) else { continue };
        let (Ok(from_back), Ok(to_back)) = (from.try_clone(), to.try_clone()) else { continue };
        let (Ok(a), Ok(b)) = (from.try_clone(), to.try_clone()) else { continue };
        {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            if open.len() >= CONNECTIONS_MAX {
                continue;
            }
            open.insert(number, [a, b]);
        }
        let open = Arc::clone(open);
        std::thread::spawn(move || {
            let answers = std::thread::spawn(move || pass_on(to_back, from_back));
            pass_on(from, to);
            // A thread that panicked has ended as well.
            let _ = answers.join();
            open.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        });
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
}
