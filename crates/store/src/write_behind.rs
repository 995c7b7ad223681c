//! Large files on their way to the disk while more of them comes.
//!
//! A blob gets its name only when all of it is on the disk (`docs/formats/store.md`). Left to itself Linux begins to write
//! seconds later, so that the end of a layer of hundreds of megabytes would be waited for with both cores idle.

use std::fs::File;
use std::num::NonZeroU64;

use rustix::fs::Advice;

/// So many bytes may wait in memory before the disk is told of them.
const STRIDE_BYTES: u64 = 8 << 20;

/// How much of one file the disk was told of.
#[derive(Debug, Default)]
pub(crate) struct WriteBehind {
    told: u64,
}

impl WriteBehind {
    /// To be called when `file` has grown to `length` bytes.
    pub(crate) fn grown(&mut self, file: &File, length: u64) {
        let waiting = length.saturating_sub(self.told);
        if waiting < STRIDE_BYTES {
            return;
        }
        // Linux begins to write what it is told to forget, and does not forget what is not written yet (mm/fadvise.c). It
        // is advice: where it fails nothing is lost.
        let _ = rustix::fs::fadvise(file, self.told, NonZeroU64::new(waiting), Advice::DontNeed);
        self.told = length;
    }
}
