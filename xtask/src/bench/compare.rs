//! jettison beside its peers: each workload by each builder, in turns, as often as was asked for.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::jettison::Jettison;
use crate::registry::Registry;
use crate::scratch::Scratch;
use crate::standin;
use crate::table;

use super::measure::{self, Measured};
use super::peers::{self, Builder, End, JETTISON, Job};
use super::report::{self, Row};
use super::settle::settle;
use super::workloads::{Before, Ending, Phase, Workload};

/// Measures the workloads; returns the tables, and who was compared.
pub(super) fn run(
    workloads: &[Workload],
    peers: &[String],
    runs: usize,
    (jettison, registry, scratch): (&Jettison, &Registry, &Scratch),
) -> Result<(String, Vec<String>)> {
    push_base(jettison, registry)?;
    let builders = peers::start(peers, jettison, registry, scratch.path())?;
    let mut rows = Vec::new();
    for workload in workloads {
        rows.extend(measure_workload(workload, &builders, runs, (registry, scratch))?);
    }
    let names: Vec<&str> = builders.iter().map(|builder| builder.name()).collect();
    let versions = builders.iter().map(|builder| builder.version()).collect::<Result<_>>()?;
    Ok((report::markdown(&names, &rows), versions))
}

/// Puts the base where everybody pulls it from.
fn push_base(jettison: &Jettison, registry: &Registry) -> Result<()> {
    let destination = registry.reference(&format!("library/{}", standin::GO.image));
    jettison.quietly(["push", "--quiet", standin::GO.image, &destination]).map(drop)
}

/// So often a peer may fail at one measurement.
const PEER_FAILURES_MAX: u32 = 2;

/// All runs of all builders on one workload; one row for each of its phases.
fn measure_workload(
    workload: &Workload,
    builders: &[Box<dyn Builder>],
    runs: usize,
    (registry, scratch): (&Registry, &Scratch),
) -> Result<Vec<Row>> {
    let context = Scratch::below(scratch.path(), workload.name)?;
    (workload.set_up)(context.path()).with_context(|| format!("setting up {}", workload.name))?;
    let mut rows: Vec<Row> =
        workload.phases.iter().map(|phase| Row::new(phase.label.to_owned(), builders.len())).collect();
    let mut nonce = 0;
    for run in 0..runs {
        for (column, builder) in builders.iter().enumerate() {
            let here = Target::new(workload, builder.as_ref(), registry, scratch)?;
            for (phase, row) in workload.phases.iter().zip(&mut rows) {
                let Some(measured) =
                    measure_with_patience(phase, builder.as_ref(), &context, &here, &mut nonce)
                        .with_context(|| format!("{} by {}", phase.label, builder.name()))?
                else {
                    continue;
                };
                println!(
                    "{:40} {:15} run {}: {:>8} s, {:>5} MB",
                    phase.label,
                    builder.name(),
                    run + 1,
                    table::seconds(measured.seconds),
                    measured.peak_bytes / 1_000_000
                );
                row.add(column, measured);
            }
        }
    }
    Ok(rows)
}

/// Where the base of one builder's run comes from and where the results go; a registry for these is empty each time.
struct Target<'a> {
    base: &'a Registry,
    tag: String,
    end: End,
    archive: Option<PathBuf>,
    _registry: Option<Registry>,
    _folder: Scratch,
}

impl<'a> Target<'a> {
    fn new(
        workload: &Workload,
        builder: &dyn Builder,
        base: &'a Registry,
        scratch: &Scratch,
    ) -> Result<Self> {
        let folder = Scratch::below(scratch.path(), builder.name())?;
        let name = format!("bench/{}", workload.name);
        Ok(match workload.ending {
            Ending::Store => {
                Self { base, tag: name, end: End::Store, archive: None, _registry: None, _folder: folder }
            }
            Ending::Archive | Ending::Compressed => {
                let file = folder.path().join("image.tar");
                let end = match workload.ending {
                    Ending::Compressed => End::Compressed(file.clone()),
                    _ => End::Archive(file.clone()),
                };
                Self { base, tag: name, end, archive: Some(file), _registry: None, _folder: folder }
            }
            Ending::Push => {
                let registry = Registry::start(&folder.path().join("registry"))?;
                let tag = registry.reference(&format!("{name}:latest"));
                Self { base, tag, end: End::Push, archive: None, _registry: Some(registry), _folder: folder }
            }
        })
    }
}

/// [`measure_phase`], and once more if a peer failed: crun now and then cannot seal a file, and an hour of measuring would be
/// lost. We may not fail.
fn measure_with_patience(
    phase: &Phase,
    builder: &dyn Builder,
    context: &Scratch,
    target: &Target<'_>,
    nonce: &mut u64,
) -> Result<Option<Measured>> {
    let mut failures = 0;
    loop {
        *nonce += 1;
        match measure_phase(phase, builder, context, target, *nonce) {
            Err(error) if builder.name() != JETTISON && failures < PEER_FAILURES_MAX => {
                failures += 1;
                println!("{:40} {:15} failed, and is measured again: {error:#}", phase.label, builder.name());
            }
            other => return other,
        }
    }
}

fn measure_phase(
    phase: &Phase,
    builder: &dyn Builder,
    context: &Scratch,
    target: &Target<'_>,
    nonce: u64,
) -> Result<Option<Measured>> {
    let job = Job { context: context.path(), tag: &target.tag, end: &target.end };
    let mut commands = builder.commands(&job);
    if commands.is_empty() {
        return Ok(None);
    }
    match phase.before {
        Before::Nothing => {}
        Before::Forget => forget(builder, context, target)?,
        Before::ForgetButBase => {
            forget(builder, context, target)?;
            builder.pull_base()?;
        }
    }
    (phase.edit)(context.path(), nonce)?;
    if let Some(file) = target.archive.as_ref().filter(|file| file.exists()) {
        std::fs::remove_file(file)?;
    }
    // What was written before must not be flushed at the expense of what is measured.
    rustix::fs::sync();
    let mut measured = measure::commands(&mut commands, &builder.resident())?;
    measured.archive_bytes = target.archive.as_ref().and_then(|f| f.metadata().ok()).map(|m| m.len());
    Ok(Some(measured))
}

/// The builder knows nothing, and the machine is as if nothing had been deleted.
fn forget(builder: &dyn Builder, context: &Scratch, target: &Target<'_>) -> Result<()> {
    builder.reset()?;
    settle(&[context.path(), target.base.folder()])?;
    // Its program is in memory again.
    builder.version().map(drop)
}
