//! Which stages the target needs, as far as the text tells. Names that only variables or triggers bring up are found
//! while planning (`planner.rs` then starts over with them).

use std::collections::BTreeSet;

use jettison_dockerfile::{Dockerfile, Kind};

use crate::mounts;
use crate::resolve::{Base, Names};

/// The target and everything that it needs, directly or not. Mistakes are passed over here; planning reports them.
pub(crate) fn reach(file: &Dockerfile, names: &Names<'_>, target: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut pending = vec![target];
    while let Some(index) = pending.pop() {
        if !reached.insert(index) {
            continue;
        }
        if let Ok(Base::Stage(base)) = names.base(index) {
            pending.push(base);
        }
        if names.is_replaced(index) {
            continue;
        }
        let sources = file.stages[index].instructions.iter().flat_map(|i| sources(&i.kind));
        for name in sources {
            match names.stage(&name) {
                Ok(Some(stage)) if stage < index && !names.is_replaced(stage) => pending.push(stage),
                _ => {}
            }
        }
    }
    reached
}

/// What an instruction reads from, as written.
pub(crate) fn sources(kind: &Kind) -> Vec<String> {
    let names = match kind {
        Kind::Copy(copy) => copy.from.iter().map(|from| from.value.clone()).collect(),
        Kind::Run(run) => {
            run.mounts.iter().filter_map(|mount| mounts::written_source(&mount.value)).collect()
        }
        _ => Vec::new(),
    };
    names.into_iter().filter(|name| !name.is_empty()).collect()
}
