//! An entry of a tree or layer: what a tar header can say, and no more.

/// What kind of file it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of so many bytes.
    File {
        /// Its size, bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: Vec<u8>,
    },
    /// A further name of a file that stands before it.
    Hardlink {
        /// Path of that file, relative like [`Entry::path`].
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket. Sources of COPY may have one; layers never do.
    Socket,
    /// The path does not exist any more, whatever the layers below say.
    Whiteout,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative path without leading or trailing slash; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, 0 to 07777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since 1970.
    pub mtime_s: i64,
    /// Nanoseconds of it.
    pub mtime_ns: u32,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Prefixes under which overlayfs keeps its own notes; they never leave a snapshot and never enter one.
const OVERLAY_PRIVATE: [&[u8]; 2] = [b"user.overlay.", b"trusted.overlay."];

/// Whether an extended attribute is a note of overlayfs.
pub(crate) fn is_of_overlayfs(name: &[u8]) -> bool {
    OVERLAY_PRIVATE.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether an extended attribute belongs into images: file capabilities and `user.*`.
pub(crate) fn keeps_xattr(name: &[u8]) -> bool {
    name == b"security.capability" || (name.starts_with(b"user.") && !is_of_overlayfs(name))
}
