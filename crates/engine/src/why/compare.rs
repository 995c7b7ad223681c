//! Two sets of inputs, and what changed from one to the other. Pure.

use super::{Earlier, Inputs};
use crate::event::Cause;

/// Most changes of one step that are told.
const CAUSES_MAX: usize = 20;
/// Longest value that is told, characters.
const VALUE_CHARS: usize = 200;

/// The step of an earlier build that is most likely the same: of the same text, else at the same place.
pub(super) fn closest<'a>(mine: &Earlier, earlier: &'a [Earlier]) -> Option<&'a Earlier> {
    let of_stage = || earlier.iter().filter(|old| old.stage == mine.stage);
    let same_text = of_stage().filter(|old| old.text == mine.text);
    let same_text = same_text.min_by_key(|old| old.position.abs_diff(mine.position));
    let keyword = |step: &Earlier| step.text.split(' ').next().unwrap_or_default().to_ascii_uppercase();
    same_text
        .or_else(|| of_stage().find(|old| old.position == mine.position && keyword(old) == keyword(mine)))
}

/// What changed. That the step before is another one comes last: it counts most where nothing else changed.
pub(super) fn causes(old: &Inputs, new: &Inputs) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut before = None;
    for label in old.keys().chain(new.keys().filter(|label| !old.contains_key(*label))) {
        let (from, to) = (old.get(label), new.get(label));
        if from == to {
            continue;
        }
        let cause = of_label(label, from.map(String::as_str), to.map(String::as_str));
        if label == "step before" { before = Some(cause) } else { causes.push(cause) }
    }
    causes.sort_by(|a, b| (rank(a.kind), &a.what).cmp(&(rank(b.kind), &b.what)));
    let hidden = causes.len().saturating_sub(CAUSES_MAX);
    if hidden > 0 {
        causes.truncate(CAUSES_MAX);
        causes.push(Cause::plain("more", &format!("and {hidden} more changes")));
    }
    causes.extend(before);
    if causes.is_empty() {
        causes.push(Cause::plain("unknown", "its key is made in another way than the last time"));
    }
    causes
}

/// The gravest first: what somebody wrote, then files.
fn rank(kind: &str) -> usize {
    const ORDER: [&str; 5] = ["instruction", "base-image", "variable", "setting", "file"];
    ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
}

fn of_label(label: &str, from: Option<&str>, to: Option<&str>) -> Cause {
    let value = |text: Option<&str>| text.map(|text| text.chars().take(VALUE_CHARS).collect::<String>());
    let cause = |kind: &'static str, what: &str| Cause {
        kind,
        what: what.to_owned(),
        from: value(from),
        to: value(to),
    };
    match label.split_once(' ') {
        Some(("file", path)) => of_file(path, from, to),
        Some(("variable", name)) => cause("variable", name),
        _ if label == "step before" => {
            Cause { from: None, to: None, ..cause("step-before", "the step before it changed") }
        }
        _ if label == "instruction" => cause("instruction", "the instruction"),
        _ if label == "base image" => cause("base-image", "the base image"),
        Some(("contents", _)) => Cause { ..cause("content", label.trim_start_matches("contents ")) },
        _ => cause("setting", label),
    }
}

/// `mode content`: only the part that changed is told.
fn of_file(path: &str, from: Option<&str>, to: Option<&str>) -> Cause {
    let part = |text: &str, index: usize| text.splitn(2, ' ').nth(index).unwrap_or_default().to_owned();
    let (what, from, to) = match (from, to) {
        (None, _) => (format!("{path} is new"), None, None),
        (_, None) => (format!("{path} is gone"), None, None),
        (Some(old), Some(new)) if part(old, 1) == part(new, 1) => {
            (format!("{path}: mode"), Some(part(old, 0)), Some(part(new, 0)))
        }
        (Some(old), Some(new)) => (format!("{path}: content"), Some(part(old, 1)), Some(part(new, 1))),
    };
    Cause { kind: "file", what, from, to }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(pairs: &[(&str, &str)]) -> Inputs {
        pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_changed_and_nothing_else() {
        let old = inputs(&[
            ("instruction", "COPY . /app"),
            ("file a", "0644 aa"),
            ("file b", "0644 bb"),
            ("file c", "0644 cc"),
            ("file e", "0644 ee"),
            ("step before", "1"),
            ("variable V", "1"),
        ]);
        let new = inputs(&[
            ("instruction", "COPY . /app"),
            ("file a", "0644 a2"),
            ("file b", "0755 bb"),
            ("file d", "0644 dd"),
            ("file e", "0644 ee"),
            ("step before", "2"),
            ("variable V", "2"),
        ]);
        let said: Vec<String> = causes(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "V: 1 → 2",
                "a: content: aa → a2",
                "b: mode: 0644 → 0755",
                "c is gone",
                "d is new",
                "the step before it changed"
            ]
        );
    }

    #[test]
    fn the_closest_step_of_an_earlier_build() {
        let step = |stage: &str, text: &str, position| Earlier {
            stage: stage.into(),
            text: text.into(),
            position,
            key: Some(format!("{stage}{position}")),
        };
        let earlier =
            [step("a", "RUN x", 1), step("a", "RUN y", 2), step("b", "RUN x", 1), step("a", "RUN x", 3)];
        let found = |mine: Earlier| closest(&mine, &earlier).and_then(|old| old.key.clone());
        assert_eq!(found(step("a", "RUN x", 4)).as_deref(), Some("a3"), "the nearest of the same text");
        assert_eq!(found(step("a", "RUN z", 2)).as_deref(), Some("a2"), "else the one in its place");
        assert_eq!(found(step("a", "COPY z /", 2)), None, "unless it is something else");
        assert_eq!(found(step("c", "RUN x", 1)), None);
    }
}
