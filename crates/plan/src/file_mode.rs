//! `--chmod`: an octal number or chmod(1) clauses. Here it is only checked; the copy applies it.
//!
//! Source: BuildKit `dockerfile2llb/convert_copy.go` and tonistiigi/dchapes-mode (grammar of the clauses).

use crate::graph::Chmod;

/// Highest mode: setuid, setgid, sticky and nine permission bits.
const MODE_MAX: u32 = 0o7777;

/// Reads a mode.
pub(crate) fn parse(text: &str) -> Result<Chmod, String> {
    let not_octal =
        || format!("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777");
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let octal = text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= MODE_MAX);
        return mode.map(Chmod::Octal).ok_or_else(not_octal);
    }
    if text.split(',').all(is_clause) {
        Ok(Chmod::Symbolic(text.to_owned()))
    } else {
        Err(format!("invalid chmod parameter: '{text}': invalid syntax"))
    }
}

/// `[ugoa]*([-+=]([rwxXst]*|[ugo]))+`
fn is_clause(clause: &str) -> bool {
    let actions = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    let Some(first) = actions.strip_prefix(['-', '+', '=']) else { return false };
    first.split(['-', '+', '=']).all(|permissions| {
        matches!(permissions, "u" | "g" | "o") || permissions.bytes().all(|b| b"rwxXst".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_symbolic() {
        assert_eq!(parse("755"), Ok(Chmod::Octal(0o755)));
        assert_eq!(parse("07777"), Ok(Chmod::Octal(0o7777)));
        for text in ["u=rwX,go=rX", "+x", "a-w", "g=u", "u+x-w", "=", "ug+st"] {
            assert_eq!(parse(text), Ok(Chmod::Symbolic(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in ["64a", "10000", "8", "99999999999999999999"] {
            assert!(parse(text).unwrap_err().contains("should be octal string"), "{text}");
        }
        for text in ["u", "x", "u=z", "u+x,", "+ug", "é"] {
            assert!(parse(text).unwrap_err().ends_with("invalid syntax"), "{text}");
        }
    }
}
