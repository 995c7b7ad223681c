//! Looking through a layer without unpacking it: every member in turn, its content for whoever wants it.

use std::io::{self, Read};

use tar_core::SparseEntry;

use crate::apply::{Limits, OPAQUE, WHITEOUT};
use crate::tar_stream::{Member, TarStream};
use crate::{Entry, Error, Kind};

/// The content of a member: as long as the file is, holes filled with zeros.
pub struct Content<'a, 'r> {
    stream: &'a mut TarStream<'r>,
    /// Stretches of data that remain, if the file has holes.
    sparse: Option<Vec<SparseEntry>>,
    position: u64,
    size: u64,
}

impl std::fmt::Debug for Content<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("position", &self.position).field("size", &self.size).finish()
    }
}

impl Read for Content<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX).min(out.len());
        let out = &mut out[..left];
        if out.is_empty() {
            return Ok(0);
        }
        let n = match &mut self.sparse {
            None => self.stream.read(out).map_err(io::Error::other)?,
            Some(data) => {
                data.retain(|entry| entry.offset.saturating_add(entry.length) > self.position);
                match data.first() {
                    Some(entry) if entry.offset <= self.position => {
                        let stretch = entry.offset.saturating_add(entry.length) - self.position;
                        let n = usize::try_from(stretch).unwrap_or(usize::MAX).min(out.len());
                        match self.stream.read(&mut out[..n]).map_err(io::Error::other)? {
                            0 => {
                                return Err(io::Error::other(
                                    "a sparse file has less data than its map says",
                                ));
                            }
                            n => n,
                        }
                    }
                    next => {
                        let hole =
                            next.map_or(self.size, |entry| entry.offset.min(self.size)) - self.position;
                        let n = usize::try_from(hole).unwrap_or(usize::MAX).min(out.len());
                        out[..n].fill(0);
                        n
                    }
                }
            }
        };
        self.position += n as u64;
        Ok(n)
    }
}

/// What a layer does at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Puts an entry there.
    Put(Entry),
    /// Hides whatever the layers below have there.
    Hide(Vec<u8>),
    /// Hides whatever the layers below have in this directory.
    HideContent(Vec<u8>),
}

/// Calls `visit` for every member of the layer `tar`, in the order of the archive.
///
/// # Errors
/// If the archive is damaged or larger than `limits`, or whatever `visit` returns.
pub fn for_each_member(
    tar: &mut dyn Read,
    limits: &Limits,
    visit: &mut dyn FnMut(Change, &mut Content<'_, '_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut stream = TarStream::new(tar);
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    while let Some(Member { entry, sparse }) = stream.next()? {
        entries += 1;
        let size = match entry.kind {
            Kind::File { size } => size,
            _ => 0,
        };
        bytes = bytes.saturating_add(size);
        if entries > limits.entries_max {
            return Err(Error::TooMuch { what: "entries", limit: limits.entries_max });
        }
        if bytes > limits.bytes_max {
            return Err(Error::TooMuch { what: "bytes", limit: limits.bytes_max });
        }
        let change = change(entry);
        visit(change, &mut Content { stream: &mut stream, sparse, position: 0, size })?;
    }
    Ok(())
}

/// Whiteouts are files with special names. Source: OCI image spec, `layer.md`.
fn change(entry: Entry) -> Change {
    let (parent, name) = crate::inside::split(&entry.path);
    if name == OPAQUE {
        return Change::HideContent(parent.to_vec());
    }
    match name.strip_prefix(WHITEOUT) {
        Some(hidden) if !hidden.is_empty() => Change::Hide(crate::inside::join(parent, hidden)),
        _ => Change::Put(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: path.as_bytes().to_vec(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime_s: 0,
            mtime_ns: 0,
            xattrs: Vec::new(),
        }
    }

    #[test]
    fn members_with_content_and_whiteouts() {
        let mut tar = Vec::new();
        for (path, content) in [("a", "hello"), ("d/.wh.b", ""), ("d/.wh..wh..opq", ""), ("e", "")] {
            header::write(&entry(path, Kind::File { size: content.len() as u64 }), &mut tar);
            tar.extend_from_slice(content.as_bytes());
            header::pad(&mut tar);
        }
        tar.extend([0; 1024]);
        let mut seen = Vec::new();
        for_each_member(&mut &tar[..], &Limits::default(), &mut |change, content| {
            let mut text = String::new();
            content.read_to_string(&mut text).map_err(Error::Read)?;
            seen.push(match change {
                Change::Put(entry) => format!("{}={text}", String::from_utf8_lossy(&entry.path)),
                Change::Hide(path) => format!("-{}", String::from_utf8_lossy(&path)),
                Change::HideContent(path) => format!("-{}/*", String::from_utf8_lossy(&path)),
            });
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, ["a=hello", "-d/b", "-d/*", "e="]);
        let limits = Limits { bytes_max: 4, ..Limits::default() };
        assert!(for_each_member(&mut &tar[..], &limits, &mut |_, _| Ok(())).is_err());
    }
}
