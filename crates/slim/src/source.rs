//! The build stage: the Dockerfile as it is, but for the instructions that are about running. The text of everything
//! else is left alone, comments included.

use jettison_dockerfile::{Dockerfile, Instruction, Kind, Stage};
use jettison_inspect::View;
use jettison_oci::ContainerConfig;

use crate::program::Started;
use crate::{Error, Item, Refusal, Subject, stage};

/// Refuses what cannot be split in two, as far as the Dockerfile alone says so: nothing need be built to know.
///
/// # Errors
/// With the reason.
pub fn check(dockerfile: &Dockerfile) -> Result<(), Refusal> {
    let Some(stage) = dockerfile.stages.last() else {
        return Err(Refusal::new("the Dockerfile has no stage"));
    };
    if stage.from.image.value.eq_ignore_ascii_case("scratch") {
        let refusal = Refusal::new("its last stage is on scratch already: the build is separate as it is");
        return Err(refusal.hint("`jettison size IMAGE` says where the bytes are").at(stage.from.span));
    }
    for instruction in &stage.instructions {
        if let Kind::Onbuild(_) = instruction.kind {
            let refusal =
                Refusal::new("ONBUILD makes it a base for other builds, which need the whole image");
            return Err(refusal.at(instruction.span));
        }
    }
    Ok(())
}

/// Whether an instruction is about running and not about building.
pub(crate) fn is_moved(stage: &Stage, index: usize) -> bool {
    let changes_files =
        |i: &Instruction| matches!(i.kind, Kind::Run(_) | Kind::Copy(_) | Kind::Add(_) | Kind::Workdir(_));
    match stage.instructions[index].kind {
        Kind::Cmd(_) | Kind::Entrypoint(_) | Kind::Expose(_) | Kind::Healthcheck(_) | Kind::Label(_) => true,
        Kind::Maintainer(_) | Kind::Stopsignal(_) | Kind::Volume(_) => true,
        // It matters to what comes after it.
        Kind::User(_) => !stage.instructions[index..].iter().any(changes_files),
        _ => false,
    }
}

/// The text of both stages.
pub(crate) fn write(
    subject: &Subject<'_>,
    view: &View<'_>,
    started: &Started,
    items: &[Item],
    config: &ContainerConfig,
    makes_temporary_files: bool,
) -> Result<String, Error> {
    let last = subject.dockerfile.stages.last().expect("checked");
    let name = stage_name(subject);
    let mut text = subject.source.to_owned();
    for index in (0..last.instructions.len()).rev().filter(|index| is_moved(last, *index)) {
        let (start, end) = lines_of(subject.source, &last.instructions[index]);
        text.replace_range(start..end, "");
    }
    if last.from.name.is_none() {
        let is_lower = last.from.keyword.value.chars().all(|c| c.is_ascii_lowercase());
        let keyword = if is_lower { "as" } else { "AS" };
        text.insert_str(last.from.image.span.end, &format!(" {keyword} {name}"));
    }
    let build = text.trim_end();
    let run = stage::write(
        subject,
        view,
        &stage::Parts { started, items, config, build_stage: &name, makes_temporary_files },
    )?;
    Ok(format!("{build}\n\n{run}"))
}

/// The name of the build stage: its own, or a free one.
fn stage_name(subject: &Subject<'_>) -> String {
    let stages = &subject.dockerfile.stages;
    if let Some(name) = stages.last().and_then(|stage| stage.from.written_name.as_ref()) {
        return name.value.clone();
    }
    let is_taken =
        |name: &str| stages.iter().any(|stage| stage.from.name.as_ref().is_some_and(|n| n.value == name));
    let numbered = (2..).map(|n| format!("build-{n}"));
    let mut names = std::iter::once("build".to_owned()).chain(numbered);
    names.find(|name| !is_taken(name)).expect("there are more numbers than stages")
}

/// The whole lines of an instruction, with the comments directly above it.
pub(crate) fn lines_of(source: &str, instruction: &Instruction) -> (usize, usize) {
    let mut start = source[..instruction.span.start].rfind('\n').map_or(0, |at| at + 1);
    for _ in &instruction.comments {
        let above = source[..start.saturating_sub(1)].rfind('\n').map_or(0, |at| at + 1);
        if !source[above..start].trim_start().starts_with('#') {
            break;
        }
        start = above;
    }
    let end = instruction.span.end.max(instruction.span.start + 1);
    let end = if source[..end].ends_with('\n') {
        end
    } else {
        source[end..].find('\n').map_or(source.len(), |at| end + at + 1)
    };
    (start, end)
}
