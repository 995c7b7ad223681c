//! A folder of a cache becomes a link to the outside, and back, again and again, while other steps mount that folder.
//!
//! Either it is a folder, then a link: it is gone for a moment in between, so most of these builds fail, as they should. Or
//! it is one link, then another, each put in its place by one rename: then there is always something inside the
//! cache that it may mean, and the build has to end well. In both the swapping goes on until all others have looked, so a
//! machine that is busy with something else makes it no longer than it has to be.

use std::fs;
use std::time::Duration;

use anyhow::Result;

use super::super::{Found, trial};
use super::Case;
use crate::random::Random;
use crate::scratch;

/// Longest time for one build.
const LIMIT: Duration = Duration::from_secs(120);

/// Steps that mount the folder.
const LOOKERS: usize = 12;

/// Most swaps, if the others take long to look.
const SWAPS_MAX: u64 = 3000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Links,
    Folder,
}

/// Makes one such build.
pub(super) fn run(case: &Case<'_>, round: u64, random: &mut Random, found: &mut Found) -> Result<()> {
    let kind = if round.is_multiple_of(2) { Kind::Links } else { Kind::Folder };
    let folder = case.setting.folder.join("race");
    fs::create_dir_all(&folder)?;
    let canary = case.canary.display().to_string();
    let swaps = SWAPS_MAX / 2 + random.below(SWAPS_MAX as usize / 2) as u64;
    fs::write(folder.join("Dockerfile"), dockerfile(kind, &canary, swaps))?;
    let mut command =
        case.store.command(["build", "--quiet", "--no-cache", "--network=none", "--verify=off"]);
    command.arg(&folder);
    let ended = trial::run(&mut command, LIMIT)?;
    found.tried += 1;
    found.succeeded += u64::from(ended.succeeded());
    let entries = fs::read_dir(&case.canary)?.count();
    let said = ended.said();
    let which = format!("race {round} ({kind:?}) of seed {}", case.setting.seed);
    if let Some(problem) = ended.misbehaved() {
        found.fail(format!("{which}: {problem}"));
    } else if entries != 1 || said.contains("ls /*/escaped") || said.contains("alive") {
        found.fail(format!("{which}: somebody got out: {said}"));
    } else if kind == Kind::Links && !ended.succeeded() {
        found.fail(format!("{which}: {said}"));
    }
    scratch::remove(&folder)
}

fn dockerfile(kind: Kind, canary: &str, swaps: u64) -> String {
    let cache = "--mount=type=cache,id=race,target=/c";
    // Neither link leads anywhere for the step that makes it, so each can be moved over the other.
    let (first, swap) = match kind {
        Kind::Links => (
            format!("mkdir -p /c/real /c{canary}; ln -s /real /c/d"),
            format!("ln -s {canary} /c/t; mv /c/t /c/d; ln -s /real /c/t; mv /c/t /c/d"),
        ),
        Kind::Folder => {
            ("mkdir /c/d".to_owned(), format!("rm -rf /c/d; ln -s {canary} /c/d; rm -f /c/d; mkdir /c/d"))
        }
    };
    let mut text = format!(
        "FROM base0 AS prepared\nRUN {cache} rm -rf /c/*; mkdir /c/seen; {first}; touch /prepared\n\
         FROM prepared AS swap\nRUN {cache} i=0; \
         while [ $i -lt {swaps} ] && [ $(ls /c/seen | wc -l) -lt {LOOKERS} ]; do i=$((i+1)); {swap}; done; touch /swapped\n"
    );
    for number in 0..LOOKERS {
        text.push_str(&format!(
            "FROM prepared AS look{number}\nRUN {cache} --mount=type=cache,id=race,source=d,target=/m \
             if cat /m/canary; then touch /escaped; fi; touch /m/new; touch /c/seen/{number} /looked\n"
        ));
    }
    text.push_str("FROM base0\nCOPY --from=swap /swapped /\n");
    for number in 0..LOOKERS {
        text.push_str(&format!("COPY --from=look{number} /looked /escape[d] /{number}/\n"));
    }
    text.push_str("RUN ! ls /*/escaped\n");
    text
}
