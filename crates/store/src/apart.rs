//! A place for many new files, away from where many were removed a moment ago.
//!
//! ext4 puts a new file near its directory, and goes through all inodes that were freed there in the last minutes to find
//! one (`recently_deleted` in `fs/ext4/ialloc.c`). 20,000 files that are unpacked or copied right after so many were
//! removed, by `prune` say, would each look at 20,000 inodes: seconds become minutes. Directories below one with the
//! attribute "top of a hierarchy" (`chattr +T`) are spread over the disk by their names instead. Other file systems do
//! not know it and need none.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::IFlags;

use crate::{Error, Result};

/// Where such folders are made, in the temporary folder of a process.
const HIERARCHY: &str = "apart";

/// The path for a new folder that is called like `name`, below `own`: in a place of its own.
pub(crate) fn folder(own: &Path, name: &Path) -> Result<PathBuf> {
    // The name decides about the place: that of an earlier process leads to where its files were.
    let [process, name] = [own, name].map(|path| path.file_name().unwrap_or_default().to_string_lossy());
    Ok(hierarchy(own)?.join(format!("{process}-{name}")))
}

/// The same, in the place that all small ones of this process share: to go to a new one costs a tenth of a step.
pub(crate) fn folder_among_others(own: &Path, name: &Path) -> Result<PathBuf> {
    let place = folder(own, Path::new("steps"))?;
    make(&place)?;
    Ok(place.join(name.file_name().unwrap_or_default()))
}

fn hierarchy(own: &Path) -> Result<PathBuf> {
    let above = own.join(HIERARCHY);
    if make(&above)? {
        let directory = File::open(&above).map_err(Error::io("open", &above))?;
        // Advice: without it everything works, at times slowly.
        if let Ok(flags) = rustix::fs::ioctl_getflags(&directory) {
            let _ = rustix::fs::ioctl_setflags(&directory, flags | IFlags::TOPDIR);
        }
    }
    Ok(above)
}

/// Makes a directory; whether it was not there before.
fn make(path: &Path) -> Result<bool> {
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::io("make", path)(error)),
    }
}
