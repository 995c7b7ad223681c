//! Where the content of a layer's files comes from.

use std::os::fd::{BorrowedFd, OwnedFd};

use jettison_oci::Digest;
use rustix::fs::OFlags;

use crate::inside::{self, NO_LINKS};
use crate::select::Seen;
use crate::{Entry, Error};

/// The files of a layer that is written.
pub trait Contents: Sync {
    /// The content of `entry`, which is a file.
    fn open(&self, entry: &Entry) -> Result<Opened<'_>, Error>;

    /// The digest of its content, if that is known: whatever has it is what the layer shall hold.
    fn digest(&self, entry: &Entry) -> Option<&Digest> {
        let _ = entry;
        None
    }
}

/// The content of one file.
#[derive(Debug)]
pub enum Opened<'a> {
    /// A file to read, and what it was when it was looked at: it must still be the same when it has been read.
    File(OwnedFd, Option<&'a Seen>),
    /// These bytes.
    Bytes(&'a [u8]),
}

impl Contents for BorrowedFd<'_> {
    fn open(&self, entry: &Entry) -> Result<Opened<'_>, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file =
            inside::open(*self, &entry.path, flags, NO_LINKS).map_err(Error::io("open", &entry.path))?;
        Ok(Opened::File(file, None))
    }
}
