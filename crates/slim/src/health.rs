//! HEALTHCHECK: comes along if it asks the program itself, in a form that needs no shell; refused with the reason otherwise.

use jettison_dockerfile::{Command, Healthcheck as Said, Instruction, Kind};
use jettison_inspect::View;
use jettison_inspect::proof::{exec_form, simple_words};
use jettison_oci::Healthcheck;

use crate::program::{Started, looked_up};
use crate::source::lines_of;
use crate::{Error, Refusal, Subject};

/// The end of many checks: any failure is 1. It changes nothing, for every failure makes a container unhealthy.
const OR_ONE: &str = "|| exit 1";

/// The health check of the new image, in exec form.
pub(crate) fn check(
    subject: &Subject<'_>,
    view: &View<'_>,
    started: &Started,
) -> Result<Option<Healthcheck>, Error> {
    let Some(check) = &subject.config.healthcheck else { return Ok(None) };
    let words = match check.test.split_first() {
        Some((kind, words)) if kind == "CMD" && !words.is_empty() => words.to_vec(),
        Some((kind, [text])) if kind == "CMD-SHELL" => {
            let text = text.trim();
            let words = simple_words(text.strip_suffix(OR_ONE).unwrap_or(text).trim());
            words.ok_or_else(|| {
                refused(subject, "HEALTHCHECK needs a shell, and the new image would have none")
            })?
        }
        _ => return Ok(Some(check.clone())),
    };
    let found = match looked_up(view, subject, &words[0])? {
        Some(path) => view.file(&path)?,
        None => None,
    };
    if found.is_none_or(|place| place.path != started.place.path) {
        let reason = format!(
            "HEALTHCHECK starts {:?}, a program of its own, whose files nobody can tell from those of the build",
            words[0]
        );
        return Err(refused(subject, &reason).into());
    }
    let program = started.argv[..1].iter().cloned();
    let test = ["CMD".to_owned()].into_iter().chain(program).chain(words.into_iter().skip(1)).collect();
    Ok(Some(Healthcheck { test, ..check.clone() }))
}

fn instruction<'a>(subject: &Subject<'a>) -> Option<&'a Instruction> {
    let last = subject.dockerfile.stages.last()?;
    last.instructions.iter().rev().find(|i| matches!(i.kind, Kind::Healthcheck(_)))
}

fn refused(subject: &Subject<'_>, reason: &str) -> Refusal {
    let refusal = Refusal::new(reason).hint(
        "have the program check itself (`HEALTHCHECK CMD [\"/program\", \"health\"]`), or let the platform ask the port \
         (HEALTHCHECK NONE)",
    );
    instruction(subject).map_or(refusal.clone(), |i| refusal.at(i.span))
}

/// The instruction: as written if it says the same, else anew.
pub(crate) fn write(subject: &Subject<'_>, check: &Healthcheck) -> String {
    let words = check.test.get(1..).unwrap_or_default();
    let as_written = instruction(subject).filter(|i| match &i.kind {
        Kind::Healthcheck(Said::Check { command: Command::Exec(written), .. }) => {
            written == words && !i.text.contains('$')
        }
        Kind::Healthcheck(Said::None) => words.is_empty(),
        _ => false,
    });
    if let Some(instruction) = as_written {
        let (start, end) = lines_of(subject.source, instruction);
        return format!("{}\n", subject.source[start..end].trim_end());
    }
    if words.is_empty() {
        return "HEALTHCHECK NONE\n".to_owned();
    }
    let durations = [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("start-period", check.start_period),
        ("start-interval", check.start_interval),
    ];
    let mut text = String::from("# In exec form, by its path: the new image has no shell.\nHEALTHCHECK");
    for (name, ns) in durations.into_iter().filter(|(_, ns)| *ns != 0) {
        text.push_str(&match ns % 1_000_000_000 {
            0 => format!(" --{name}={}s", ns / 1_000_000_000),
            _ => format!(" --{name}={ns}ns"),
        });
    }
    if check.retries != 0 {
        text.push_str(&format!(" --retries={}", check.retries));
    }
    text.push_str(&format!(" CMD {}\n", exec_form(words)));
    text
}
