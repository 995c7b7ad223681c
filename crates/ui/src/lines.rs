//! Raw output, cut anywhere, to lines.

/// A line longer than this is shown in pieces, so that a program that never ends one cannot fill the memory.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Collects bytes until a line is complete.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes more bytes and returns the lines that they complete, as they are but for bytes that are no UTF-8.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut complete = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            for chunk in piece.chunks(LINE_BYTES_MAX) {
                if self.partial.len() + chunk.len() > LINE_BYTES_MAX {
                    complete.extend(self.cut());
                }
                self.partial.extend_from_slice(chunk);
            }
            if piece.ends_with(b"\n") {
                complete.extend(self.finish());
            }
        }
        complete
    }

    /// The line that was not ended.
    pub(crate) fn finish(&mut self) -> Option<String> {
        let partial = std::mem::take(&mut self.partial);
        (!partial.is_empty()).then(|| text(&partial))
    }

    /// What has arrived of the line so far, for the live view.
    pub(crate) fn unfinished(&self) -> Option<String> {
        (!self.partial.is_empty()).then(|| text(&self.partial))
    }

    /// A piece of an overlong line, not cut inside a character.
    fn cut(&mut self) -> Option<String> {
        let whole = match std::str::from_utf8(&self.partial) {
            // An error without a length is a character that is only cut off.
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
            _ => self.partial.len(),
        };
        let rest = self.partial.split_off(whole);
        let piece = std::mem::replace(&mut self.partial, rest);
        (!piece.is_empty()).then(|| text(&piece))
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_do_not_matter() {
        let mut lines = Lines::default();
        assert_eq!(lines.push("a\n\nb\r\nh\u{e9}".as_bytes().split_last().unwrap().1), ["a", "", "b"]);
        assert_eq!(lines.push(&[0xa9, b'!', b'\n']), ["hé!"]);
        assert_eq!(lines.push(b"rest"), Vec::<String>::new());
        assert_eq!(lines.unfinished().as_deref(), Some("rest"));
        assert_eq!(lines.finish().as_deref(), Some("rest"));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn a_line_without_an_end_comes_in_pieces() {
        let mut lines = Lines::default();
        let pieces = lines.push("é".repeat(LINE_BYTES_MAX).as_bytes());
        assert_eq!(pieces.len(), 1);
        assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}') && piece.len() <= LINE_BYTES_MAX));
        assert!(lines.partial.len() <= LINE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_lines(text in "[a\\né\\r]{0,40}", cut in 0_usize..40) {
            let bytes = text.as_bytes();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut whole = Lines::default();
            let mut expected = whole.push(bytes);
            expected.extend(whole.finish());
            let mut cut = Lines::default();
            let mut got = cut.push(first);
            got.extend(cut.push(second));
            got.extend(cut.finish());
            prop_assert_eq!(got, expected);
        }
    }
}
