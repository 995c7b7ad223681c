//! Words of commands: argv of the image, shell text taken apart where that is safe, exec form as text.

use jettison_oci::ContainerConfig;

/// What a container executes: ENTRYPOINT followed by CMD. In a shell-form ENTRYPOINT the words of CMD become
/// parameters that the text does not use, as Docker has it.
pub(super) fn argv(config: &ContainerConfig) -> Vec<String> {
    let entrypoint = config.entrypoint.iter().flatten();
    entrypoint.chain(config.cmd.iter().flatten()).cloned().collect()
}

/// `["a", "b"]`
pub fn exec_form(words: &[String]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|word| serde_json::to_string(word).expect("a string can always be written as JSON"))
        .collect();
    format!("[{}]", quoted.join(", "))
}

/// The words of a shell text that needs no shell: one command, nothing expanded, redirected or quoted. A leading
/// `exec` is dropped.
pub fn simple_words(text: &str) -> Option<Vec<String>> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " \t_./=:,@%+-".contains(c);
    if !text.chars().all(is_plain) {
        return None;
    }
    let mut words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    if words.first().is_some_and(|word| word == "exec") {
        words.remove(0);
    }
    // `A=b command` needs a shell.
    (words.first().is_some_and(|word| !word.contains('='))).then_some(words)
}

/// The first command of a shell text, if that can be said without being a shell.
pub(super) fn first_command(text: &str) -> Option<String> {
    let text = text.trim_start();
    let text = text.strip_prefix("exec ").unwrap_or(text).trim_start();
    let end = text.find(|c: char| c.is_ascii_whitespace() || ";&|".contains(c)).unwrap_or(text.len());
    let word = &text[..end];
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./+-".contains(c);
    (!word.is_empty() && word.chars().all(is_plain)).then(|| word.to_owned())
}

/// Words that every POSIX shell has built in, and those that are part of its language.
const SHELL_WORDS: &[&str] = &[
    ".", ":", "[", "alias", "bg", "break", "case", "cd", "command", "continue", "declare", "do", "done",
    "echo", "elif", "else", "esac", "eval", "exec", "exit", "export", "false", "fi", "for", "function",
    "getopts", "if", "kill", "let", "local", "printf", "pwd", "read", "readonly", "return", "select", "set",
    "shift", "shopt", "source", "test", "then", "time", "times", "trap", "true", "type", "typeset", "ulimit",
    "umask", "unset", "until", "wait", "while",
];

/// Whether a shell needs no program for this word.
pub(super) fn is_shell_word(word: &str) -> bool {
    SHELL_WORDS.contains(&word)
}

/// An absolute path without `.`, `..` and repeated slashes, and without its first slash.
pub fn cleaned(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// The numbers in `GLIBC_2.34`, for comparing.
pub(super) fn version_key(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_need_no_shell() {
        let words = |text| simple_words(text).map(|words| words.join("|"));
        assert_eq!(words("/myserver --port=80  -v"), Some("/myserver|--port=80|-v".to_owned()));
        assert_eq!(words("exec myserver"), Some("myserver".to_owned()));
        for text in ["a && b", "a > x", "A=1 b", "echo $X", "a 'b'", "", "exec"] {
            assert_eq!(words(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_command_of_a_text() {
        for (text, want) in [
            ("exec /app --x", Some("/app")),
            ("migrate && serve", Some("migrate")),
            ("  curl -f http://x || exit 1", Some("curl")),
            ("$CMD x", None),
            ("A=1 b", None),
            ("(a)", None),
        ] {
            assert_eq!(first_command(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn exec_form_is_json() {
        assert_eq!(exec_form(&["a b".into(), "\"".into()]), r#"["a b", "\""]"#);
    }
}
