//! Removing what nobody needs any more while the build goes on, on a thread of its own.
//!
//! overlayfs leaves four folders and a file in the work directory of each step. To remove them takes longer than to
//! write the snapshot (1.3 ms of the 9 that a step cost), and nobody waits for it. What is not removed when the process
//! is killed lies in its temporary folder, which the next one sweeps (`scratch.rs`).

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::remove_tree;

/// Takes folders below the process's temporary folder. Dropping it waits until all of them are gone.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    /// Not started before there is something to remove: most commands have nothing.
    thread: Mutex<Option<(Sender<PathBuf>, JoinHandle<()>)>>,
}

impl Sweeper {
    /// Removes a folder at some time before the sweeper is dropped. What cannot be removed then is swept when the store
    /// is opened next.
    pub(crate) fn discard(&self, folder: PathBuf) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (sender, receiver) = channel();
            let started = thread::Builder::new().name("sweeper".to_owned()).spawn(move || sweep(&receiver));
            *thread = started.ok().map(|handle| (sender, handle));
        }
        // Without a thread (there are too many) it is done at once.
        let folder = match &*thread {
            Some((sender, _)) => sender.send(folder).err().map(|unsent| unsent.0),
            None => Some(folder),
        };
        if let Some(folder) = folder {
            let _ = remove_tree(&folder);
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, handle)) = thread {
            drop(sender);
            let _ = handle.join();
        }
    }
}

fn sweep(folders: &Receiver<PathBuf>) {
    for folder in folders {
        let _ = remove_tree(&folder);
    }
}
