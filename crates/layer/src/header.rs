//! Canonical tar headers: ustar, with a PAX header in front only where ustar cannot say it.
//!
//! The bytes are frozen: they are part of every digest that we make (see `docs/formats/layer.md`, encoder version 1).
//! Source: POSIX.1-2001 `pax`; BuildKit and containerd's ChangeWriter for what is left out (names of owners, atime,
//! ctime).

use crate::diff::whiteout_path;
use crate::{Entry, Kind};

/// Tar's unit, bytes.
pub(crate) const BLOCK: usize = 512;
/// Longest name and link that fit into ustar's fields, bytes.
const NAME_BYTES: usize = 100;
/// Largest owner that fits into seven octal digits.
const ID_MAX: u32 = 0o777_7777;
/// Largest size and time that fit into eleven octal digits.
const LONG_MAX: u64 = 0o777_7777_7777;

/// Appends the header blocks of `entry` to `out`.
pub(crate) fn write(entry: &Entry, out: &mut Vec<u8>) {
    let mut path = match entry.kind {
        Kind::Whiteout => whiteout_path(&entry.path),
        _ => entry.path.clone(),
    };
    if entry.kind == Kind::Directory {
        path.push(b'/');
    }
    let link: &[u8] = match &entry.kind {
        Kind::Symlink { target } | Kind::Hardlink { target } => target,
        _ => b"",
    };
    let size = match entry.kind {
        Kind::File { size } => size,
        _ => 0,
    };
    let pax = pax_records(entry, &path, link, size);
    if !pax.is_empty() {
        let mut name = b"PaxHeaders.0/".to_vec();
        let base = path.rsplit(|b| *b == b'/').find(|c| !c.is_empty()).unwrap_or(b"x");
        name.extend_from_slice(&base[..base.len().min(NAME_BYTES - name.len())]);
        block(
            out,
            &Fields { name: &name, mode: 0o644, kind: b'x', size: pax.len() as u64, ..Fields::default() },
        );
        out.extend_from_slice(&pax);
        pad(out);
    }
    let (kind, (major, minor)) = match &entry.kind {
        Kind::File { .. } | Kind::Whiteout | Kind::Socket => (b'0', (0, 0)),
        Kind::Hardlink { .. } => (b'1', (0, 0)),
        Kind::Symlink { .. } => (b'2', (0, 0)),
        Kind::CharDevice { major, minor } => (b'3', (*major, *minor)),
        Kind::BlockDevice { major, minor } => (b'4', (*major, *minor)),
        Kind::Directory => (b'5', (0, 0)),
        Kind::Fifo => (b'6', (0, 0)),
    };
    let fields = Fields {
        name: &path[..path.len().min(NAME_BYTES)],
        link: &link[..link.len().min(NAME_BYTES)],
        mode: entry.mode,
        uid: if entry.uid > ID_MAX { 0 } else { entry.uid },
        gid: if entry.gid > ID_MAX { 0 } else { entry.gid },
        size: if size > LONG_MAX { 0 } else { size },
        mtime: u64::try_from(entry.mtime_s).ok().filter(|t| *t <= LONG_MAX).unwrap_or(0),
        kind,
        major,
        minor,
    };
    block(out, &fields);
}

/// Fills up to a whole block with zeros.
pub(crate) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn pax_records(entry: &Entry, path: &[u8], link: &[u8], size: u64) -> Vec<u8> {
    let mut records = Vec::new();
    for (name, value) in &entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    if entry.gid > ID_MAX {
        record(&mut records, b"gid", entry.gid.to_string().as_bytes());
    }
    if link.len() > NAME_BYTES {
        record(&mut records, b"linkpath", link);
    }
    if !u64::try_from(entry.mtime_s).is_ok_and(|t| t <= LONG_MAX) {
        record(&mut records, b"mtime", entry.mtime_s.to_string().as_bytes());
    }
    if path.len() > NAME_BYTES {
        record(&mut records, b"path", path);
    }
    if size > LONG_MAX {
        record(&mut records, b"size", size.to_string().as_bytes());
    }
    if entry.uid > ID_MAX {
        record(&mut records, b"uid", entry.uid.to_string().as_bytes());
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where LENGTH counts itself.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[derive(Default)]
struct Fields<'a> {
    name: &'a [u8],
    link: &'a [u8],
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: u64,
    kind: u8,
    major: u32,
    minor: u32,
}

fn block(out: &mut Vec<u8>, fields: &Fields<'_>) {
    let mut header = [0_u8; BLOCK];
    header[..fields.name.len()].copy_from_slice(fields.name);
    octal(&mut header[100..108], u64::from(fields.mode));
    octal(&mut header[108..116], u64::from(fields.uid));
    octal(&mut header[116..124], u64::from(fields.gid));
    octal(&mut header[124..136], fields.size);
    octal(&mut header[136..148], fields.mtime);
    header[148..156].fill(b' ');
    header[156] = fields.kind;
    header[157..157 + fields.link.len()].copy_from_slice(fields.link);
    header[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut header[329..337], u64::from(fields.major));
    octal(&mut header[337..345], u64::from(fields.minor));
    let sum: u64 = header.iter().map(|b| u64::from(*b)).sum();
    octal(&mut header[148..155], sum);
    out.extend_from_slice(&header);
}

/// Octal digits, zero-filled, ending in NUL.
fn octal(field: &mut [u8], mut value: u64) {
    let digits = field.len() - 1;
    field[digits] = 0;
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}
