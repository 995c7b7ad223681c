//! What people see of a step: `[build 2/4] RUN go build -o /myserver .`
//!
//! Source: BuildKit `dockerfile2llb/convert.go` (prefixCommand, processCmdEnv, summarizeHeredoc).

use jettison_dockerfile::expand::{self, Env};

/// Longest text of a step; one that variables blow up beyond it is shown as written.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// `[stage n/m] text`, the number padded to the width of the last one.
pub(crate) fn numbered(stage: &str, number: usize, total: usize, text: &str) -> String {
    let width = total.checked_ilog10().unwrap_or(0) as usize + 1;
    let blank = if stage.is_empty() { "" } else { " " };
    format!("[{stage}{blank}{number:width$}/{total}] {text}")
}

/// The instruction with its keyword in upper case and the variables that are set put in. Quotes and escapes stay.
pub(crate) fn text(instruction: &str, escape: char, environment: &dyn Env) -> String {
    let substituted = substitute(instruction, escape, environment)
        .filter(|text| text.len() <= TEXT_BYTES_MAX)
        .unwrap_or_else(|| instruction.to_owned());
    let one_line = substituted.replace(|c: char| c.is_control(), " ");
    match one_line.split_once(' ') {
        Some((keyword, rest)) => format!("{} {rest}", keyword.to_uppercase()),
        None => one_line.to_uppercase(),
    }
}

/// The first line of a heredoc, for the name of a step that consists of it.
pub(crate) fn summary(body: &str) -> String {
    let body = body.trim();
    match body.split_once('\n') {
        Some((first, _)) => format!("{}...", first.trim_end_matches('\r')),
        None => body.to_owned(),
    }
}

/// `None` if the text has an unfinished quote or substitution.
fn substitute(text: &str, escape: char, environment: &dyn Env) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_double_quotes = false;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\'' if !in_double_quotes => rest[1..].find('\'')? + 2,
            '"' => {
                in_double_quotes = !in_double_quotes;
                1
            }
            c if c == escape => c.len_utf8() + rest[c.len_utf8()..].chars().next().map_or(0, char::len_utf8),
            '$' => {
                let length = reference_length(rest)?;
                let reference = &rest[..length];
                let is_set = name(reference).is_some_and(|name| environment.get(name).is_some());
                if is_set {
                    out.push_str(&expand::expand(reference, escape, environment).ok()?.text);
                } else {
                    out.push_str(reference);
                }
                rest = &rest[length..];
                if out.len() > TEXT_BYTES_MAX {
                    return None;
                }
                continue;
            }
            c => c.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    (!in_double_quotes).then_some(out)
}

/// Bytes of the `$NAME` or `${…}` that `text` begins with.
fn reference_length(text: &str) -> Option<usize> {
    if !text.starts_with("${") {
        return Some(1 + name(text).map_or(0, str::len));
    }
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The name behind `$` or `${`.
fn name(reference: &str) -> Option<&str> {
    let start = reference.trim_start_matches('$').trim_start_matches('{');
    let end = start.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(start.len());
    let name = &start[..end];
    name.starts_with(|c: char| c.is_alphabetic() || c == '_').then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(instruction: &str) -> String {
        let environment = |name: &str| match name {
            "V" => Some("1.2".to_owned()),
            "NL" => Some("a\nb".to_owned()),
            _ => None,
        };
        text(instruction, '\\', &environment)
    }

    #[test]
    fn set_variables_are_shown() {
        for (instruction, want) in [
            ("run echo $V ${V} $UNSET ${UNSET}", "RUN echo 1.2 1.2 $UNSET ${UNSET}"),
            ("RUN echo '$V' \"$V it's\" \\$V", "RUN echo '$V' \"1.2 it's\" \\$V"),
            ("COPY a$ b$$ $1", "COPY a$ b$$ $1"),
            ("RUN it's $V", "RUN it's $V"),
            ("RUN ${V", "RUN ${V"),
            ("RUN echo $NL", "RUN echo a b"),
            ("RUN", "RUN"),
            ("RUN echo é$V", "RUN echo é1.2"),
        ] {
            assert_eq!(check(instruction), want, "{instruction}");
        }
    }

    #[test]
    fn numbers_are_padded_and_scripts_shortened() {
        assert_eq!(numbered("build", 2, 12, "RUN x"), "[build  2/12] RUN x");
        assert_eq!(numbered("", 1, 3, "RUN x"), "[1/3] RUN x");
        assert_eq!(summary("\n#!/bin/sh\r\necho\n"), "#!/bin/sh...");
        assert_eq!(summary("echo hi\n"), "echo hi");
        assert_eq!(summary(""), "");
    }
}
