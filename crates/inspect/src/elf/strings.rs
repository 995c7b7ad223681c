//! Which of some texts occur in a file, read in pieces.

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
}
