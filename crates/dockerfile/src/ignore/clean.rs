//! Trimming and cleaning of patterns (Go: strings.TrimSpace, filepath.Clean).

/// Without white space at both ends.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    if let Ok(text) = std::str::from_utf8(text) {
        return text.trim().as_bytes();
    }
    let blank = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ');
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    &text[start..end]
}

/// The shortest path that means the same: no `.`, no empty components, `..` resolved as far as it goes.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut components: Vec<&[u8]> = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => match components.last() {
                Some(last) if *last != b".." => {
                    components.pop();
                }
                _ if rooted => {}
                _ => components.push(component),
            },
            _ => components.push(component),
        }
    }
    let joined = components.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/".as_slice(), &joined].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}
