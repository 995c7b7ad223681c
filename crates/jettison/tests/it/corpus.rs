//! Every file below `tests/dockerfiles/` is a case: a Dockerfile, its context, and what must come out: for each
//! instruction the files of its layer with mode, owner and content, then the config; or the error.
//!
//! The format is in crates/corpus/src/case.rs. `JETTISON_UPDATE=1` rewrites what is expected; read the difference, and
//! check it against the rule that the case names. `JETTISON_CASE=copy/` runs only the cases whose name has that in it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jettison_corpus::{Base, Case, Image, outcome};

use crate::fixture::{Jettison, Ran, folder};

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dockerfiles");
    let mut cases = jettison_corpus::all(&folder).unwrap();
    if let Ok(part) = std::env::var("JETTISON_CASE") {
        cases.retain(|case| case.name.contains(&part));
    }
    cases
}

/// The builder, with one store for all cases: what one of them caches, another may hit, and must get the same.
struct Runner {
    jettison: Jettison,
    bases: Vec<Base>,
}

impl Runner {
    fn new() -> Self {
        let mut runner = Self { jettison: Jettison::with_busybox(), bases: Vec::new() };
        let folder = folder("FROM busybox\n", &[]);
        let archive = folder.path().join("image.tar");
        runner.build(&[], folder.path(), &archive).ok();
        runner.bases = vec![Base { name: "busybox", image: Image::read(&archive).unwrap() }];
        runner
    }

    /// What comes out of a case, as text.
    fn run(&self, case: &Case) -> String {
        let work = tempfile::tempdir().unwrap();
        let context = work.path().join("context");
        case.lay_out(&context).unwrap();
        let archive = work.path().join("image.tar");
        match self.build(&case.arguments, &context, &archive) {
            Ran { code: 0, .. } => outcome(&Image::read(&archive).unwrap(), &self.bases),
            failed => format!("exit code {}\n{}", failed.code, failed.stderr),
        }
    }

    /// Names of what steps and layers have left in the store.
    fn snapshots(&self) -> BTreeSet<OsString> {
        let folder = self.jettison.store.path().join("snapshots");
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    fn build(&self, arguments: &[String], context: &Path, archive: &Path) -> Ran {
        let output = format!("type=docker,compression=uncompressed,dest={}", archive.display());
        let mut command = self.jettison.command();
        command.current_dir(context).args(["build", "--progress=quiet", "--output", &output]);
        command.args(arguments).arg(".");
        command.output().unwrap().into()
    }
}

/// Runs `check` for every case, as many at a time as there are cores; the texts that it gives are collected.
fn for_each(cases: &[Case], check: impl Fn(&Case) -> Option<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    // A case waits for processes and disks more than it computes.
    let threads = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(text) = check(case) {
                        found.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    found
}

#[test]
fn corpus() {
    let runner = Runner::new();
    let cases = cases();
    let update = std::env::var_os("JETTISON_UPDATE").is_some();
    let wrong = for_each(&cases, |case| {
        let found = runner.run(case);
        if found == case.expected {
            return None;
        }
        if update {
            case.rewrite(&found).unwrap();
            return None;
        }
        Some(format!("== {}\n{}", case.name, difference(&case.expected, &found)))
    });
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Errors that show only once files of earlier steps are there: these cases, and no others, may have done something
/// before they fail.
const SEEN_ON_THE_WAY: &[&str] = &[
    "config/workdir_onto_file",
    "copy/below_file",
    "copy/directory_mark_on_file",
    "copy/directory_over_file",
    "copy/directory_over_file_below",
    "copy/directory_over_link_below",
    "copy/file_over_directory_below",
    "copy_from/missing",
    "copy_from/wildcard_dangling",
    "mount/cache_from_missing",
    "mount/source_missing_in_stage",
];

/// Nothing is half-built: a file with errors in the stages that the target needs fails before its first step.
#[test]
fn what_is_wrong_beforehand_changes_nothing() {
    let mut cases = cases();
    cases.retain(|case| case.expected.starts_with("exit code 3\n"));
    // A store that was changed is not used again.
    let unchanged: Mutex<Vec<Runner>> = Mutex::default();
    let changed = for_each(&cases, |case| {
        let reused = unchanged.lock().unwrap().pop();
        let runner = reused.unwrap_or_else(Runner::new);
        let before = runner.snapshots();
        runner.run(case);
        if runner.snapshots() != before {
            return Some(case.name.clone());
        }
        unchanged.lock().unwrap().push(runner);
        None
    });
    if std::env::var_os("JETTISON_CASE").is_none() {
        assert_eq!(changed, SEEN_ON_THE_WAY);
    }
}

/// Lines that only one of the texts has, with `-` and `+`; the others as they are.
fn difference(expected: &str, found: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = (old.len() - start).min(new.len() - start);
    let end = (0..rest).take_while(|n| old[old.len() - 1 - n] == new[new.len() - 1 - n]).count();
    let mut lines: Vec<String> = old[..start].iter().map(|line| format!("  {line}")).collect();
    lines.extend(old[start..old.len() - end].iter().map(|line| format!("- {line}")));
    lines.extend(new[start..new.len() - end].iter().map(|line| format!("+ {line}")));
    lines.extend(old[old.len() - end..].iter().map(|line| format!("  {line}")));
    lines.join("\n") + "\n"
}
