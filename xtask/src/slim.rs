//! `cargo xtask slim`: `jettison slim` on programs of the kinds that people have, with real compilers from Debian's packages.
//!
//! Each case says what has to come of it: a smaller image that starts, or a refusal with its reason. jettison itself builds
//! the answer, proves it and starts it; here is looked at what it says, and at what it writes.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::demo;
use crate::jettison::{Jettison, Profile};
use crate::packages;
use crate::process;
use crate::repository;
use crate::scratch::Scratch;
use crate::standin;
use crate::table;

/// What has to come of a case.
enum Wanted {
    /// A Dockerfile with these words.
    Slim(&'static [&'static str]),
    /// No Dockerfile, and a reason with these words.
    Refused(&'static str),
}

/// A program, how it is built, and what has to come of it. The base is `toolchains:debian` in all of them.
struct Case {
    name: &'static str,
    file: (&'static str, &'static str),
    instructions: &'static str,
    wanted: Wanted,
}

const GO: &str = "package main\nimport (\"fmt\"; \"net/http\")\nfunc main() {\n http.HandleFunc(\"/\", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, \"hi\") })\n http.ListenAndServe(\":8080\", nil)\n}\n";
const CGO: &str = "package main\n// #include <zlib.h>\n// #cgo LDFLAGS: -lz\nimport \"C\"\nimport \"fmt\"\nfunc main() { fmt.Println(C.GoString(C.zlibVersion())) }\n";
const RUST: &str = "fn main() { println!(\"{:?}\", std::env::args().next()); }\n";
const C: &str = "#include <stdio.h>\n#include <zlib.h>\nint main(void) { puts(zlibVersion()); return 0; }\n";
const JAVA: &str =
    "public class Main { public static void main(String[] a) { System.out.println(\"hi\"); } }\n";

const CASES: [Case; 8] = [
    Case {
        name: "go-cgo-for-the-library",
        file: ("main.go", GO),
        instructions: "RUN GO111MODULE=off GOCACHE=/tmp/c go build -o /myserver main.go\nEXPOSE 8080\nCMD [\"/myserver\"]\n",
        wanted: Wanted::Slim(&["FROM scratch", "CGO_ENABLED=0 go build", "/myserver"]),
    },
    Case {
        name: "go-without-cgo",
        file: ("main.go", GO),
        instructions: "RUN CGO_ENABLED=0 GO111MODULE=off GOCACHE=/tmp/c go build -o /myserver main.go\nEXPOSE 8080\nCMD [\"/myserver\"]\n",
        wanted: Wanted::Slim(&["FROM scratch", "/myserver"]),
    },
    Case {
        name: "go-with-c-library",
        file: ("main.go", CGO),
        instructions: "RUN GO111MODULE=off GOCACHE=/tmp/c go build -o /app main.go\nCMD [\"/app\"]\n",
        wanted: Wanted::Slim(&["FROM scratch", "libz.so.1", "libc.so.6", "ld-linux"]),
    },
    Case {
        name: "rust",
        file: ("main.rs", RUST),
        instructions: "RUN rustc -O -o /usr/local/bin/app main.rs\nCMD [\"app\"]\n",
        wanted: Wanted::Slim(&["FROM scratch", "libgcc_s.so.1", "/usr/local/bin/app"]),
    },
    Case {
        name: "c-with-shared-libraries",
        file: ("app.c", C),
        instructions: "RUN gcc -O2 -o /app app.c -lz\nHEALTHCHECK CMD [\"/app\"]\nUSER nobody\nCMD [\"/app\"]\n",
        wanted: Wanted::Slim(&["FROM scratch", "libz.so.1", "HEALTHCHECK", "USER"]),
    },
    Case {
        name: "java",
        file: ("Main.java", JAVA),
        instructions: "RUN javac -d /app Main.java\nCMD [\"java\", \"-cp\", \"/app\", \"Main\"]\n",
        wanted: Wanted::Refused("java"),
    },
    Case {
        name: "python",
        file: ("main.py", "print('hi')\n"),
        instructions: "CMD [\"python3\", \"main.py\"]\n",
        wanted: Wanted::Refused("python3"),
    },
    Case {
        name: "node",
        file: ("main.js", "console.log('hi')\n"),
        instructions: "CMD [\"node\", \"main.js\"]\n",
        wanted: Wanted::Refused("node"),
    },
];

/// Tries all cases and prints what came of them.
pub fn run(arguments: &[String]) -> Result<()> {
    let only = match arguments {
        [] => None,
        [flag, name] if flag == "--only" && CASES.iter().any(|case| case.name == name) => Some(name),
        _ => {
            let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
            bail!("usage: cargo xtask slim [--only NAME], with one of {}", names.join(", "));
        }
    };
    packages::ensure(packages::STANDIN)?;
    let scratch = Scratch::below(&repository::demo_folder(), "slim")?;
    let jettison = demo::program_and_standins(Profile::Dev, vec![standin::TOOLCHAINS])?;
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| only.is_none_or(|name| name == case.name)) {
        println!("{} ...", case.name);
        rows.push(one(case, &jettison, scratch.path()).with_context(|| format!("case {}", case.name))?);
    }
    println!("\n{}", table::markdown(&["program", "as it is", "slim", "or why not"], &rows));
    Ok(())
}

fn one(case: &Case, jettison: &Jettison, scratch: &Path) -> Result<Vec<String>> {
    let folder = Scratch::below(scratch, case.name)?;
    let (name, text) = case.file;
    std::fs::write(folder.path().join(name), text)?;
    let source =
        format!("FROM {}\nWORKDIR /src\nCOPY {name} .\n{}", standin::TOOLCHAINS.image, case.instructions);
    let dockerfile = folder.path().join("Dockerfile");
    std::fs::write(&dockerfile, &source)?;
    let mut command = jettison.command(["slim", "--progress=quiet", "-w"]);
    let ran = process::captured(command.arg(folder.path()))?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let written = std::fs::read_to_string(&dockerfile)?;
    let bytes = |row: &str| {
        let line = said.lines().find_map(|line| line.trim_start().strip_prefix(row));
        line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("-").to_owned()
    };
    let (before, after) = (bytes("as it is "), bytes("slim "));
    match case.wanted {
        Wanted::Slim(words) => {
            ensure!(ran.status.success(), "it was refused:\n{said}");
            ensure!(before != "-" && after != "-", "no table of both images in:\n{said}");
            for word in words {
                ensure!(written.contains(word), "no {word:?} in what was written:\n{written}");
            }
            Ok(vec![case.name.to_owned(), before, after, String::new()])
        }
        Wanted::Refused(words) => {
            ensure!(!ran.status.success(), "it was not refused:\n{written}");
            ensure!(written == source, "the Dockerfile was changed all the same:\n{written}");
            let reason = said.lines().find_map(|line| line.split_once("no slim image: "));
            let (_, reason) = reason.with_context(|| format!("no reason in:\n{said}"))?;
            ensure!(reason.contains(words), "no {words:?} in: {reason}");
            Ok(vec![case.name.to_owned(), "-".to_owned(), "-".to_owned(), reason.to_owned()])
        }
    }
}
