//! Finding the program and becoming it; and if that fails, saying why in terms of the image.

use std::ffi::CString;
use std::fs::File;
use std::io::Read as _;

use crate::{Errno, Error, sys};

/// Where programs are searched if the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// As much of a `#!` line as the kernel reads.
const SCRIPT_LINE_BYTES: usize = 256;

/// Becomes the program. Returns only the reason why not.
pub(super) fn execute(argv: &[String], environment: &[String]) -> Error {
    let Some(program) = argv.first() else { return Error::EmptyCommand };
    let (Some(arguments), Some(variables)) = (c_strings(argv), c_strings(environment)) else {
        return Error::System {
            action: "pass a null byte in an argument or a variable".into(),
            errno: Errno(libc::EINVAL),
        };
    };
    let mut refused = None;
    for path in candidates(program, environment) {
        let Ok(c_path) = CString::new(path.as_str()) else { continue };
        let error = sys::execute(&c_path, &arguments, &variables);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {
                if std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                    return Error::InterpreterNotFound { program: with_interpreter(path) };
                }
            }
            // Perhaps another directory has one that may be executed.
            Some(libc::EACCES) => refused = refused.or(Some(path)),
            Some(libc::ENOEXEC) => return Error::ProgramFormat { program: path },
            _ => return Error::Execute { program: path, errno: error.into() },
        }
    }
    match refused {
        Some(program) => Error::ProgramNotExecutable { program },
        None => Error::ProgramNotFound { program: program.clone() },
    }
}

/// The paths to try: the program itself if it has a slash, else in each directory of the step's own PATH.
fn candidates(program: &str, environment: &[String]) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    if program.is_empty() {
        return Vec::new();
    }
    // The last one wins, as in a shell.
    let path = environment.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    let folders = path.unwrap_or(DEFAULT_PATH).split(':');
    folders
        .map(|folder| if folder.is_empty() { "." } else { folder })
        .map(|f| format!("{f}/{program}"))
        .collect()
}

fn with_interpreter(path: String) -> String {
    let mut start = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(SCRIPT_LINE_BYTES as u64).read_to_end(&mut start));
    let line = start.strip_prefix(b"#!").and_then(|rest| rest.split(|&byte| byte == b'\n').next());
    match (read, line) {
        (Ok(_), Some(line)) => format!("{path} (#!{})", String::from_utf8_lossy(line)),
        _ => path,
    }
}

fn c_strings(strings: &[String]) -> Option<Vec<CString>> {
    strings.iter().map(|string| CString::new(string.as_str()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_searched_in_the_path_of_the_step() {
        let path = |value: &str| vec![format!("PATH={value}")];
        assert_eq!(candidates("/bin/sh", &path("/x")), ["/bin/sh"]);
        assert_eq!(candidates("./run", &path("/x")), ["./run"]);
        assert_eq!(candidates("sh", &path("/a::/b")), ["/a/sh", "./sh", "/b/sh"]);
        assert_eq!(candidates("sh", &["PATH=/a".into(), "PATH=/b".into()]), ["/b/sh"]);
        assert_eq!(candidates("sh", &[]).last().unwrap(), "/bin/sh");
        assert!(candidates("", &[]).is_empty());
    }
}
