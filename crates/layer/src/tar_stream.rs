//! A tar stream, member by member, in bounded memory; and ADD's way of unpacking one.
//!
//! The parser is `tar-core`; here is the buffer around it, and what it leaves to us: signed and sub-second times,
//! sparse files, the size limits of real file systems.

use std::io::Read;
use std::os::fd::BorrowedFd;

use tar_core::parse::{Limits as ParseLimits, ParseEvent, ParsedEntry, Parser};
use tar_core::{PaxExtensions, SparseEntry};

use crate::apply::{Limits, Target, Unpacker};
use crate::entry::keeps_xattr;
use crate::{Entry, Error, Kind};

/// Longest path that the kernel takes, bytes (PATH_MAX).
const PATH_BYTES_MAX: u32 = 4096;
/// Bytes that are read from the stream at once.
const READ_BYTES: usize = 256 << 10;
const BLOCK: u64 = 512;
/// Most bytes of the headers of one member. The largest map of a sparse file that the parser takes has 0.4 MB.
const HEADERS_BYTES_MAX: usize = 8 << 20;

/// Reads members of a tar.
pub(crate) struct TarStream<'a> {
    reader: &'a mut dyn Read,
    parser: Parser,
    buffer: Vec<u8>,
    start: usize,
    /// Bytes of the current member's content, and of its padding, that nobody has read yet.
    content: u64,
    padding: u64,
    ended: bool,
}

/// A member: its entry, and where the data of a sparse file belong.
pub(crate) struct Member {
    pub(crate) entry: Entry,
    pub(crate) sparse: Option<Vec<SparseEntry>>,
}

impl<'a> TarStream<'a> {
    pub(crate) fn new(reader: &'a mut dyn Read) -> Self {
        let limits = ParseLimits { max_path_len: Some(PATH_BYTES_MAX), ..ParseLimits::default() };
        let mut parser = Parser::new(limits);
        parser.set_allow_empty_path(true);
        Self { reader, parser, buffer: Vec::new(), start: 0, content: 0, padding: 0, ended: false }
    }

    /// The next member; skips what is left of the one before. `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, Error> {
        self.skip()?;
        if self.ended {
            return Ok(None);
        }
        loop {
            let event =
                self.parser.parse(&self.buffer[self.start..]).map_err(|e| Error::Damaged(e.to_string()))?;
            let (consumed, member) = match event {
                ParseEvent::NeedData { min_bytes } => {
                    // Where the map of a sparse file does not end, the parser asks for what it has already.
                    let have = self.buffer.len() - self.start;
                    if have > HEADERS_BYTES_MAX {
                        return Err(Error::Damaged("a header that does not end".to_owned()));
                    }
                    if self.fill(min_bytes.max(have + 1))? {
                        continue;
                    }
                    if self.start == self.buffer.len() {
                        // A stream that ends between two members, without the end mark: GNU tar takes it too.
                        self.ended = true;
                        return Ok(None);
                    }
                    return Err(Error::Damaged("it ends in the middle of a header".to_owned()));
                }
                ParseEvent::GlobalExtensions { consumed, pax_data } => {
                    let own = (pax_data.len() + BLOCK as usize).next_multiple_of(BLOCK as usize);
                    let before = &self.buffer[self.start..self.start + (consumed - own)];
                    // The parser forgets what they say, as Go's does; GNU tar and Python do not.
                    if before.iter().any(|&byte| byte != 0) {
                        return Err(Error::Damaged(
                            "a global header stands between the headers of a member".to_owned(),
                        ));
                    }
                    (consumed, None)
                }
                ParseEvent::End { consumed } => {
                    self.start += consumed;
                    self.ended = true;
                    return Ok(None);
                }
                ParseEvent::Entry { consumed, entry } => {
                    let size = entry.size;
                    (consumed, Some((size, convert(&entry, entry.size)?, None)))
                }
                ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
                    let (size, converted) = (entry.size, convert(&entry, real_size)?);
                    if !is_map(&sparse_map, size, real_size) {
                        return Err(Error::invalid(&converted.path, "a sparse file whose map lies about it"));
                    }
                    (consumed, Some((size, converted, Some(sparse_map))))
                }
            };
            self.start += consumed;
            if let Some((size, entry, sparse)) = member {
                self.content = size;
                self.padding = (BLOCK - size % BLOCK) % BLOCK;
                return Ok(Some(Member { entry, sparse }));
            }
        }
    }

    /// Reads content of the current member; 0 at its end.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let want = usize::try_from(self.content).unwrap_or(usize::MAX).min(out.len());
        if want == 0 {
            return Ok(0);
        }
        if self.start < self.buffer.len() {
            let n = want.min(self.buffer.len() - self.start);
            out[..n].copy_from_slice(&self.buffer[self.start..self.start + n]);
            self.start += n;
            self.content -= n as u64;
            return Ok(n);
        }
        let n = read(self.reader, &mut out[..want])?;
        if n == 0 {
            return Err(Error::Damaged("it ends in the middle of a file".to_owned()));
        }
        self.content -= n as u64;
        Ok(n)
    }

    fn skip(&mut self) -> Result<(), Error> {
        let mut sink = [0; 4096];
        while self.content > 0 {
            self.read(&mut sink)?;
        }
        self.content = std::mem::take(&mut self.padding);
        while self.content > 0 {
            match self.read(&mut sink) {
                Ok(_) => {}
                // The last member's padding may be missing; its content may not.
                Err(Error::Damaged(_)) => {
                    self.content = 0;
                    self.ended = true;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes at least `min` bytes available; false at the end of the stream.
    fn fill(&mut self, min: usize) -> Result<bool, Error> {
        self.buffer.drain(..self.start);
        self.start = 0;
        while self.buffer.len() < min {
            let have = self.buffer.len();
            self.buffer.resize(have + READ_BYTES.max(min - have), 0);
            let n = read(self.reader, &mut self.buffer[have..]);
            self.buffer.truncate(have + *n.as_ref().unwrap_or(&0));
            if n? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a map of a sparse file is in order, inside of the file, and has data for all that it says. It must not hang on
/// how much of a file somebody reads whether an archive is taken. Source: Go `archive/tar`, `validateSparseEntries`.
fn is_map(map: &[SparseEntry], stored: u64, size: u64) -> bool {
    let (mut end, mut data) = (0_u64, 0_u64);
    map.iter().all(|entry| {
        let follows = entry.offset >= end;
        end = entry.offset.saturating_add(entry.length);
        data = data.saturating_add(entry.length);
        follows && end <= size && data <= stored
    })
}

fn read(reader: &mut dyn Read, out: &mut [u8]) -> Result<usize, Error> {
    loop {
        match reader.read(out) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other.map_err(Error::Read),
        }
    }
}

fn convert(entry: &ParsedEntry<'_>, size: u64) -> Result<Entry, Error> {
    let path = clean(&entry.path)?;
    if !entry.pax.is_none_or(is_pax) {
        return Err(Error::invalid(&path, "a PAX header that is none"));
    }
    let link = || -> Result<Vec<u8>, Error> {
        entry
            .link_target
            .as_ref()
            .map(|l| l.to_vec())
            .ok_or_else(|| Error::invalid(&path, "a link without a target"))
    };
    let device = || (entry.dev_major.unwrap_or(0), entry.dev_minor.unwrap_or(0));
    let kind = match entry.entry_type {
        t if t.is_dir() => Kind::Directory,
        t if t.is_symlink() => Kind::Symlink { target: link()? },
        t if t.is_hard_link() => Kind::Hardlink { target: clean(&link()?)? },
        t if t.is_character_special() => Kind::CharDevice { major: device().0, minor: device().1 },
        t if t.is_block_special() => Kind::BlockDevice { major: device().0, minor: device().1 },
        t if t.is_fifo() => Kind::Fifo,
        t if t.is_file() || t.is_contiguous() || t.is_gnu_sparse() => {
            // Old archives write directories as files whose name ends in a slash.
            if entry.path.ends_with(b"/") { Kind::Directory } else { Kind::File { size } }
        }
        _ => return Err(Error::invalid(&path, "an entry of unknown type")),
    };
    let id =
        |n: u64| u32::try_from(n).map_err(|_| Error::invalid(&path, "an owner that is no 32-bit number"));
    let (mtime_s, mtime_ns) = mtime(entry);
    let mut xattrs: Vec<_> =
        entry.xattrs.iter().filter(|(n, _)| keeps_xattr(n)).map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
    xattrs.sort();
    Ok(Entry {
        uid: id(entry.uid)?,
        gid: id(entry.gid)?,
        mode: entry.mode & 0o7777,
        path,
        kind,
        mtime_s,
        mtime_ns,
        xattrs,
    })
}

/// Whether a PAX header is records from end to end. The parser passes over what follows a record without a length, which
/// other readers refuse. Zeros may follow: GNU tar and Python take them for the end.
fn is_pax(mut text: &[u8]) -> bool {
    while text.first().is_some_and(|&byte| byte != 0) {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length = std::str::from_utf8(&text[..digits]).ok().and_then(|number| number.parse().ok());
        let Some(rest) =
            length.filter(|&length| length > digits).and_then(|length: usize| text.get(length..))
        else {
            return false;
        };
        text = rest;
    }
    text.iter().all(|&byte| byte == 0)
}

/// A relative path without `.`, empty components and slashes at the ends. `..` is refused: no layer needs it.
fn clean(path: &[u8]) -> Result<Vec<u8>, Error> {
    let mut clean = Vec::with_capacity(path.len());
    for component in path.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".") {
        if component == b".." {
            return Err(Error::invalid(path, "a path that leads out of the archive"));
        }
        if component.contains(&0) {
            return Err(Error::invalid(path, "a path with a NUL byte"));
        }
        if !clean.is_empty() {
            clean.push(b'/');
        }
        clean.extend_from_slice(component);
    }
    Ok(clean)
}

/// The header holds whole seconds; a PAX record may be negative and have a fraction.
fn mtime(entry: &ParsedEntry<'_>) -> (i64, u32) {
    let record = entry.pax.and_then(|pax| {
        PaxExtensions::new(pax)
            .flatten()
            .filter(|e| e.key_bytes() == b"mtime")
            .last()
            .map(|e| e.value_bytes().to_vec())
    });
    let Some(text) = record.and_then(|r| String::from_utf8(r).ok()) else {
        // Base-256 numbers may be negative: the parser hands out their bits.
        return (entry.mtime.cast_signed(), 0);
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let seconds: i64 = whole.parse().unwrap_or(0);
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().unwrap_or(0);
    if whole.starts_with('-') && nanoseconds > 0 {
        (seconds - 1, 1_000_000_000 - nanoseconds)
    } else {
        (seconds, nanoseconds)
    }
}

/// Unpacks an archive into an existing tree, as ADD does: directories are merged, links in the tree are followed
/// inside the root, whiteout names are ordinary names. Returns the number of entries.
///
/// Source: BuildKit `solver/llbsolver/file/unpack.go`.
pub fn unpack_archive(
    tar: &mut dyn Read,
    directory: BorrowedFd<'_>,
    chown: Option<(u32, u32)>,
    limits: &Limits,
) -> Result<u64, Error> {
    let mut unpacker = Unpacker::new(directory, Target::Tree { chown }, limits.clone());
    unpacker.run(tar)?;
    Ok(unpacker.finish()?.entries)
}
