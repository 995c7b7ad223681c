//! Every folder of `tests/dockerfiles/` is a case: `Dockerfile`, further files as the context, and `expected`, what
//! must come out: files as GNU tar lists them and the config, or the error.
//!
//! `arguments` (one a line) are added to the command. `JETTISON_UPDATE=1` rewrites `expected`; read the diff.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::{Jettison, program};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dockerfiles")
}

#[test]
fn corpus() {
    let jettison = Jettison::with_busybox();
    let mut wrong = Vec::new();
    let mut names: Vec<PathBuf> = fs::read_dir(cases()).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|p| p.is_dir());
    names.sort();
    for case in &names {
        let found = outcome(&jettison, case);
        let expected = case.join("expected");
        if std::env::var_os("JETTISON_UPDATE").is_some() {
            fs::write(&expected, &found).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong.push(format!("== {}\n{found}", case.file_name().unwrap().to_string_lossy()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

/// Builds a copy of `case`, so that modes and owners are the same on every machine.
fn outcome(jettison: &Jettison, case: &Path) -> String {
    let work = tempfile::tempdir().unwrap();
    let context = work.path().join("context");
    program("cp", &["-r", case.to_str().unwrap(), context.to_str().unwrap()]).ok();
    program("chmod", &["-R", "u=rwX,go=rX", context.to_str().unwrap()]).ok();
    for name in ["expected", "arguments"] {
        let _ = fs::remove_file(context.join(name));
    }
    let tar = work.path().join("out.tar");
    let output = format!("type=tar,dest={}", tar.display());
    let arguments = fs::read_to_string(case.join("arguments")).unwrap_or_default();
    let mut args = vec!["--progress=quiet", "-t", "case", "-o", "type=image", "-o", &output];
    args.extend(arguments.lines());
    let mut command = jettison.command();
    command.current_dir(&context).env("SOURCE_DATE_EPOCH", "315532800").arg("build").args(args).arg(".");
    let ran = crate::fixture::Ran::from(command.output().unwrap());
    let mut text = String::new();
    if ran.code != 0 {
        let _ = write!(text, "exit code {}\n{}", ran.code, ran.stderr);
        return text;
    }
    text.push_str("# files that busybox does not have\n");
    let listed = program("tar", &["-tvf", tar.to_str().unwrap(), "--numeric-owner", "--utc"]).ok();
    for line in listed.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let name = fields[5..].join(" ");
        if !from_base(&name) {
            let _ = writeln!(text, "{} {} {} {name}", fields[0], fields[1], fields[2]);
        }
    }
    let image = jettison.inspect("case");
    let _ = writeln!(text, "# config\n{}", serde_json::to_string_pretty(&image["config"]["config"]).unwrap());
    text.push_str("# history\n");
    for entry in image["config"]["history"].as_array().unwrap() {
        let empty = if entry["empty_layer"] == true { " (empty)" } else { "" };
        let _ = writeln!(text, "{}{empty}", entry["created_by"].as_str().unwrap_or("-"));
    }
    text
}

fn from_base(name: &str) -> bool {
    let base =
        ["bin/", "dev/", "home/", "proc/", "root/", "sys/", "tmp/", "usr/", "usr/bin/", "var/", "var/tmp/"];
    base.contains(&name)
        || ["etc/", "etc/passwd", "etc/group", "home/app/"].contains(&name)
        || (name.starts_with("bin/") && !name.contains("case"))
}
