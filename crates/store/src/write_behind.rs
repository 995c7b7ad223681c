//! Large files on their way to the disk while more of them comes.
//!
//! A blob gets its name only when all of it is on the disk (`docs/formats/store.md`). Left to itself Linux begins to write
//! seconds later, so that the end of a layer of hundreds of megabytes would be waited for with both cores idle. And what it
//! has written lies in the disk's own cache: emptying that is what an fsync waits for then.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;

/// The disk is told after so many bytes. While it is busy with earlier ones more may come together.
const STRIDE_BYTES: u64 = 16 << 20;

/// How much of one file the disk was told of.
#[derive(Debug, Default)]
pub(crate) struct WriteBehind {
    told: u64,
    /// To the thread that waits for the disk, once there is one.
    tell: Option<SyncSender<()>>,
}

impl WriteBehind {
    /// To be called when the file at `path` has grown to `length` bytes.
    pub(crate) fn grown(&mut self, path: &Path, length: u64) {
        if length.saturating_sub(self.told) < STRIDE_BYTES {
            return;
        }
        self.told = length;
        // It is help, and not needed for being right: where it fails nothing is lost.
        if self.tell.is_none() {
            self.tell = start(path);
        }
        if let Some(tell) = &self.tell {
            let _ = tell.try_send(());
        }
    }
}

/// Starts the thread. It has the file open by itself: an error of the disk is told once for each time that a file is
/// opened (Linux `Documentation/filesystems/vfs.rst`, "Handling errors during writeback"), so whoever publishes the blob
/// is told of it too.
fn start(path: &Path) -> Option<SyncSender<()>> {
    let file = File::open(path).ok()?;
    let (tell, told) = sync_channel::<()>(1);
    let sync = move || {
        for () in told {
            let _ = file.sync_data();
        }
    };
    Builder::new().spawn(sync).ok()?;
    Some(tell)
}
