//! chmod(1)'s symbolic modes: `u=rwX,go=rX`, `+x`, `a-w`. Source: POSIX chmod, "Extended description", umask 0.

/// Clauses that were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clauses(Vec<Clause>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    /// Bits of u, g, o that it speaks of, as a mask of 0700, 0070, 0007.
    who: u32,
    actions: Vec<(u8, Vec<u8>)>,
}

/// Not a symbolic mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid syntax")]
pub struct InvalidMode;

impl Clauses {
    /// Reads a list of clauses.
    pub fn parse(text: &str) -> Result<Self, InvalidMode> {
        text.split(',').map(Clause::parse).collect::<Result<_, _>>().map(Self)
    }

    /// The mode that comes out of `mode`.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        self.0.iter().fold(mode, |mode, clause| clause.apply(mode, is_directory))
    }
}

impl Clause {
    fn parse(text: &str) -> Result<Self, InvalidMode> {
        let bytes = text.as_bytes();
        let start = bytes.iter().position(|b| matches!(b, b'+' | b'-' | b'=')).ok_or(InvalidMode)?;
        let mut who = 0;
        for byte in &bytes[..start] {
            who |= match byte {
                b'u' => 0o700,
                b'g' => 0o070,
                b'o' => 0o007,
                b'a' => 0o777,
                _ => return Err(InvalidMode),
            };
        }
        let mut actions: Vec<(u8, Vec<u8>)> = Vec::new();
        for byte in &bytes[start..] {
            match byte {
                b'+' | b'-' | b'=' => actions.push((*byte, Vec::new())),
                b'r' | b'w' | b'x' | b'X' | b's' | b't' | b'u' | b'g' | b'o' => {
                    actions.last_mut().ok_or(InvalidMode)?.1.push(*byte);
                }
                _ => return Err(InvalidMode),
            }
        }
        Ok(Self { who: if who == 0 { 0o777 } else { who }, actions })
    }

    fn apply(&self, mut mode: u32, is_directory: bool) -> u32 {
        for (operator, letters) in &self.actions {
            let bits = letters.iter().fold(0, |bits, letter| bits | self.bits(*letter, mode, is_directory));
            mode = match operator {
                b'+' => mode | bits,
                b'-' => mode & !bits,
                _ => (mode & !self.cleared(is_directory)) | bits,
            };
        }
        mode
    }

    fn bits(&self, letter: u8, mode: u32, is_directory: bool) -> u32 {
        match letter {
            b'r' => 0o444 & self.who,
            b'w' => 0o222 & self.who,
            b'x' => 0o111 & self.who,
            b'X' if is_directory || mode & 0o111 != 0 => 0o111 & self.who,
            b's' => {
                (if self.who & 0o700 != 0 { 0o4000 } else { 0 })
                    | (if self.who & 0o070 != 0 { 0o2000 } else { 0 })
            }
            b't' => 0o1000,
            b'u' => (mode >> 6 & 7) * 0o111 & self.who,
            b'g' => (mode >> 3 & 7) * 0o111 & self.who,
            b'o' => (mode & 7) * 0o111 & self.who,
            _ => 0,
        }
    }

    /// What `=` takes away: the permission bits of whom it speaks, and their set-id bits (of files).
    fn cleared(&self, is_directory: bool) -> u32 {
        let special = if is_directory { 0 } else { self.bits(b's', 0, false) };
        self.who | special | if self.who == 0o777 { 0o1000 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_chmod_does() {
        for (text, mode, directory, want) in [
            ("+x", 0o644, false, 0o755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("g=u", 0o640, false, 0o660),
            ("u+s,g+s,+t", 0o755, false, 0o7755),
            ("go-rwx", 0o777, true, 0o700),
            ("u=rw,+X", 0o711, false, 0o711),
        ] {
            assert_eq!(Clauses::parse(text).unwrap().apply(mode, directory), want, "{text} on {mode:o}");
        }
        for text in ["", "x", "u", "z+x", "u+q", "u+x,", "755"] {
            assert_eq!(Clauses::parse(text), Err(InvalidMode), "{text}");
        }
    }
}
