//! Go and cgo: whether a program uses C for more than the standard library's sake, and the line that does without.

use std::collections::BTreeSet;
use std::io;

use jettison_dockerfile::{Dockerfile, Kind};
use jettison_inspect::View;
use jettison_inspect::tree::read_start;
use memchr::memmem;

use crate::program::Started;

/// Bytes of a program that are searched.
const SEARCHED_BYTES_MAX: u64 = 256 << 20;
/// Packages of the standard library that use C if they may, and do without if they must.
const OPTIONAL: [&str; 4] = ["net", "os/user", "runtime/cgo", "plugin"];
/// Libraries that are the C library.
const C_LIBRARY: [&[u8]; 5] = [b"libc.so", b"libpthread.so", b"libresolv.so", b"libdl.so", b"ld-linux"];
/// What cgo puts into the names of functions. The linker keeps those names even in stripped programs.
const MARKS: [&str; 2] = ["._Cfunc_", "._C2func_"];

/// Whether these are the bytes of a Go program.
pub(crate) fn is_go(bytes: &[u8]) -> bool {
    memmem::find(bytes, b"Go buildinf:").is_some()
        || (memmem::find(bytes, b"runtime.goexit").is_some()
            && memmem::find(bytes, b"runtime.main").is_some())
}

/// Whether a dynamically linked Go program needs the C library only because the standard library may use it.
pub(crate) fn can_do_without_cgo(view: &View<'_>, started: &Started) -> io::Result<bool> {
    let Some(dynamic) = &started.elf.dynamic else { return Ok(false) };
    let is_c_library = |name: &Vec<u8>| C_LIBRARY.iter().any(|library| name.starts_with(library));
    if started.elf.interpreter.is_none() || !dynamic.needed.iter().all(is_c_library) {
        return Ok(false);
    }
    let bytes = read_start(&*view.open(&started.place)?, SEARCHED_BYTES_MAX)?;
    Ok(is_go(&bytes) && users_of_c(&bytes).iter().all(|package| OPTIONAL.contains(&package.as_str())))
}

/// Packages that call C.
fn users_of_c(bytes: &[u8]) -> BTreeSet<String> {
    let mut packages = BTreeSet::new();
    for mark in MARKS {
        for at in memmem::find_iter(bytes, mark.as_bytes()) {
            let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"._-/~%".contains(b);
            let start = bytes[..at].iter().rposition(|b| !is_part(b)).map_or(0, |p| p + 1);
            if start < at {
                packages.insert(String::from_utf8_lossy(&bytes[start..at]).into_owned());
            }
        }
    }
    packages
}

/// The Dockerfile with cgo switched off where it builds: in front of `go build`, else for the whole last stage.
pub fn without_cgo(source: &str, dockerfile: &Dockerfile) -> Option<String> {
    const WHY: &str = "# Without cgo: nothing but the standard library uses C here, and that can do without. A static program\n\
         # needs no C library in its image. Names are then looked up by Go itself, by /etc/hosts and DNS.\n";
    let stage = dockerfile.stages.last()?;
    let builds = |text: &str| text.contains("go build") || text.contains("go install");
    let is_build = |kind: &Kind, text: &str| matches!(kind, Kind::Run(_)) && builds(text);
    let mut text = source.to_owned();
    let mut is_edited = false;
    for instruction in stage.instructions.iter().rev() {
        let span = instruction.span;
        let Some(old) = source.get(span.start..span.end) else { continue };
        if !is_build(&instruction.kind, old) {
            continue;
        }
        let new = if old.contains("CGO_ENABLED=") {
            old.replace("CGO_ENABLED=1", "CGO_ENABLED=0")
        } else {
            old.replace("go build", "CGO_ENABLED=0 go build")
                .replace("go install", "CGO_ENABLED=0 go install")
        };
        is_edited |= new != old;
        text.replace_range(span.start..span.end, &format!("{WHY}{new}"));
    }
    if !is_edited {
        text = source.to_owned();
        let at = stage.from.span.end;
        let line_end = source.get(at..)?.find('\n').map_or(source.len(), |n| at + n + 1);
        text.insert_str(line_end, &format!("{WHY}ENV CGO_ENABLED=0\n"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(source: &str) -> String {
        let parsed = jettison_dockerfile::parse(source.as_bytes());
        let text = without_cgo(source, &parsed.dockerfile).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn where_cgo_is_switched_off() {
        assert_eq!(
            edited("FROM golang\nRUN go build -o /x .\nCMD [\"/x\"]\n"),
            "FROM golang\nRUN CGO_ENABLED=0 go build -o /x .\nCMD [\"/x\"]"
        );
        assert_eq!(
            edited("FROM golang\nRUN cd y && \\\n  CGO_ENABLED=1 go install ./...\n"),
            "FROM golang\nRUN cd y && \\\n  CGO_ENABLED=0 go install ./..."
        );
        assert_eq!(edited("FROM golang\nRUN make\n"), "FROM golang\nENV CGO_ENABLED=0\nRUN make");
    }

    #[test]
    fn who_uses_c() {
        let bytes = b"\0net._C2func_getaddrinfo\0os/user._Cfunc_free\0github.com/mattn/go-sqlite3._Cfunc_x\0";
        let packages: Vec<String> = users_of_c(bytes).into_iter().collect();
        assert_eq!(packages, ["github.com/mattn/go-sqlite3", "net", "os/user"]);
    }
}
