//! A place for many new files, away from where many were removed a moment ago.
//!
//! ext4 puts a new file near its directory, and goes through all inodes that were freed there in the last minutes to find
//! one (`recently_deleted` in `fs/ext4/ialloc.c`). A base that is unpacked right after one was removed, by `prune` say,
//! would be 20,000 files that each look at 20,000 inodes. Directories below one with the attribute "top of a hierarchy"
//! (`chattr +T`) are spread over the disk by their names instead. Other file systems do not know it and need none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::IFlags;

use crate::{Error, Result};

/// Where such folders are made, in the temporary folder of a process.
const HIERARCHY: &str = "apart";

/// The path for a new folder that is called like `name`, below `own`.
pub(crate) fn folder(own: &Path, name: &Path) -> Result<PathBuf> {
    let above = own.join(HIERARCHY);
    fs::create_dir_all(&above).map_err(Error::io("make", &above))?;
    let directory = File::open(&above).map_err(Error::io("open", &above))?;
    // Advice: without it everything works, at times slowly.
    if let Ok(flags) = rustix::fs::ioctl_getflags(&directory) {
        let _ = rustix::fs::ioctl_setflags(&directory, flags | IFlags::TOPDIR);
    }
    // The name decides about the place: that of an earlier process leads to where its files were.
    let [process, name] = [own, name].map(|path| path.file_name().unwrap_or_default().to_string_lossy());
    Ok(above.join(format!("{process}-{name}")))
}
