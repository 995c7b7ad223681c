//! Which of some texts occur in a file, and which names of libraries; read in pieces.

use std::collections::BTreeSet;
use std::io;

use crate::tree::Content;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;
/// What lies further behind is not searched, bytes.
const SEARCHED_BYTES_MAX: u64 = 256 << 20;

/// For each of `texts`, whether it occurs in `content`.
pub fn contains_any(content: &dyn Content, texts: &[&str]) -> io::Result<Vec<bool>> {
    let mut found = vec![false; texts.len()];
    let overlap = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    let finders: Vec<_> = texts.iter().map(|text| memchr::memmem::Finder::new(text.as_bytes())).collect();
    let piece = usize::try_from(content.size()).unwrap_or(READ_BYTES).min(READ_BYTES);
    let mut buffer = Vec::new();
    let mut offset = 0;
    while offset < content.size().min(SEARCHED_BYTES_MAX) && found.contains(&false) {
        let kept = buffer.len().min(overlap);
        buffer.drain(..buffer.len() - kept);
        buffer.resize(kept + piece, 0);
        let n = content.read_at(offset, &mut buffer[kept..])?;
        buffer.truncate(kept + n);
        if n == 0 {
            break;
        }
        offset += n as u64;
        for (finder, found) in finders.iter().zip(&mut found) {
            *found = *found || finder.find(&buffer).is_some();
        }
    }
    Ok(found)
}

/// Longest name of a library, bytes.
const NAME_BYTES_MAX: usize = 100;
/// Most names of one file.
const NAMES_MAX: usize = 500;

/// Names of libraries (`libz.so.1`) that stand in `content` as texts with a zero byte behind: loaded by name, perhaps.
pub fn library_names(content: &dyn Content) -> io::Result<BTreeSet<String>> {
    let finder = memchr::memmem::Finder::new(b".so");
    let piece = usize::try_from(content.size()).unwrap_or(READ_BYTES).min(READ_BYTES);
    let mut names = BTreeSet::new();
    let mut buffer = Vec::new();
    let mut offset = 0;
    while offset < content.size().min(SEARCHED_BYTES_MAX) && names.len() < NAMES_MAX {
        let kept = buffer.len().min(2 * NAME_BYTES_MAX);
        buffer.drain(..buffer.len() - kept);
        buffer.resize(kept + piece, 0);
        let n = content.read_at(offset, &mut buffer[kept..])?;
        buffer.truncate(kept + n);
        if n == 0 {
            break;
        }
        offset += n as u64;
        names.extend(finder.find_iter(&buffer).filter_map(|at| name_around(&buffer, at)));
    }
    Ok(names)
}

/// The name that has its `.so` at `at`.
fn name_around(bytes: &[u8], at: usize) -> Option<String> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-' | b'.');
    let before = bytes[..at].iter().rev().take(NAME_BYTES_MAX).take_while(|byte| is_part(byte)).count();
    let version = bytes[at + 3..].iter().take(NAME_BYTES_MAX);
    let end = at + 3 + version.take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let name = &bytes[at - before..end];
    let is_name = name.starts_with(b"lib") && bytes.get(end) == Some(&0) && !name.ends_with(b".");
    is_name.then(|| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_across_two_pieces_is_found() {
        let mut bytes = vec![b'.'; READ_BYTES - 3];
        bytes.extend_from_slice(b"needle and more");
        let content = &bytes[..];
        assert_eq!(contains_any(&content, &["needle", "absent"]).unwrap(), [true, false]);
    }

    #[test]
    fn names_of_libraries() {
        let mut bytes = vec![b'.'; READ_BYTES - 5];
        bytes.extend_from_slice(
            b"\0libz.so.1\0/opt/lib/libfoo-2.so\0lib%s.so\0libx.so.conf\0so\0.so\0liby.sox\0libend.so",
        );
        let found = library_names(&&bytes[..]).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["libfoo-2.so", "libz.so.1"]);
    }
}
