//! Keys in files for `--ssh ID=FILE[,FILE]`: an ssh agent of our own that holds them, for as long as a build lasts.
//!
//! It answers two questions only, which keys there are and a signature with one of them, on a socket in a folder that
//! nobody else can enter; steps reach it as they reach the user's agent. Read next: `key.rs` for the files, `wire.rs` for
//! the messages. Sources: OpenSSH `PROTOCOL.key`, IETF draft-ietf-sshm-ssh-agent.

mod key;
mod openssh;
mod wire;

use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use key::Key;

/// Largest message that is read, bytes (OpenSSH's agent has the same bound).
const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// An agent that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    folder: PathBuf,
}

impl Agent {
    /// Starts an agent with these keys.
    pub(crate) fn start(keys: Vec<Key>) -> io::Result<Self> {
        let agent = Self { folder: private_folder()? };
        let listener = UnixListener::bind(agent.socket())?;
        std::fs::set_permissions(agent.socket(), PermissionsExt::from_mode(0o600))?;
        let keys = Arc::new(keys);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keys = Arc::clone(&keys);
                // Whoever hangs up is served; what else goes wrong is theirs to notice.
                std::thread::spawn(move || drop(serve(stream, &keys)));
            }
        });
        Ok(agent)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("agent")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// A new folder for us alone. The name of a socket must be short, so it is not in the store.
fn private_folder() -> io::Result<PathBuf> {
    let parent = std::env::temp_dir();
    let parent = if parent.as_os_str().len() > 60 { Path::new("/tmp").to_owned() } else { parent };
    for attempt in 0..1000 {
        let folder = parent.join(format!("jettison-ssh-{}-{attempt}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|()| folder),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn serve(mut stream: UnixStream, keys: &[Key]) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Ok(());
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message)?;
        let answer = wire::answer(&message, keys);
        stream.write_all(&wire::string(&answer))?;
    }
}
