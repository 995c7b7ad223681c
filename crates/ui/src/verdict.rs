//! Whether an image starts, for people: one line when it does, a block that cannot be overlooked when it cannot.

use jettison_engine::event::{Finding, Outcome, Verdict, Weight};

use crate::clean::{self, Colour};
use crate::line::{Line, Tone};
use crate::model::Origin;

/// Columns of the rule above and below a block.
const RULE_COLUMNS: usize = 72;

/// Characters that are shown of what happened when an image was started: it may have said much.
const TRIAL_CHARS: usize = 200;

/// Data that programs look for when they run: rule and word for it.
const DATA: [(&str, &str); 2] = [("ca-certificates", "CA certificates"), ("time-zones", "time zones")];

/// The lines for a verdict. `origin` is the Dockerfile that its places lie in. Without `in_full`, as at the end of a build,
/// only an image that cannot start gets more than one line.
pub fn verdict(verdict: &Verdict, origin: &Origin, in_full: bool) -> Vec<Line> {
    let program = plain(&verdict.program);
    let mut lines = Vec::new();
    match verdict.outcome {
        Outcome::Starts => lines.push(Line::new(Tone::Good, "starts: ").then(Tone::Normal, program)),
        Outcome::Unsure => {
            let words = "cannot be sure that it starts and runs well";
            let program = if program.is_empty() { program } else { format!(": {program}") };
            lines.push(Line::new(Tone::Warning, words).then(Tone::Normal, program));
        }
        Outcome::CannotStart => {
            lines.push(Line::new(Tone::Bad, "━".repeat(RULE_COLUMNS)));
            let program = if program.is_empty() { program } else { format!(": {program}") };
            lines.push(Line::new(Tone::Bad, "THIS IMAGE CANNOT START").then(Tone::Normal, program));
        }
    }
    if !in_full && verdict.outcome != Outcome::CannotStart {
        let rest = format!("{}{}", in_short(verdict, origin).unwrap_or_default(), tried(verdict));
        return lines.into_iter().map(|line| line.then(Tone::Faint, rest.clone())).collect();
    }
    let shown = verdict.findings.iter().filter(|finding| in_full || finding.weight > Weight::Note);
    for finding in shown {
        lines.extend(self::finding(finding, origin));
    }
    if verdict.outcome == Outcome::CannotStart {
        lines.push(Line::new(Tone::Bad, "━".repeat(RULE_COLUMNS)));
    }
    lines
}

/// What stands behind the program on the only line: what nobody can be sure of with its place, or what is not there.
fn in_short(verdict: &Verdict, origin: &Origin) -> Option<String> {
    let name = |finding: &Finding| {
        DATA.iter()
            .find(|(rule, _)| *rule == finding.rule)
            .map_or_else(|| finding.rule.replace('-', " "), |(_, words)| (*words).to_owned())
    };
    if verdict.outcome == Outcome::Starts {
        let is_data = |finding: &&Finding| DATA.iter().any(|(rule, _)| *rule == finding.rule);
        let absent: Vec<String> = verdict.findings.iter().filter(is_data).map(name).collect();
        let without = format!("; without {}, should it look for them", absent.join(" and "));
        return (!absent.is_empty()).then_some(without);
    }
    let is_doubt = |finding: &&Finding| finding.weight == Weight::Warning && !is_trial(finding);
    let doubts = verdict.findings.iter().filter(is_doubt);
    let doubts = doubts.map(|finding| match finding.span.filter(|_| !origin.name.is_empty()) {
        Some(span) => format!("{} ({})", name(finding), plain(&origin.place(span.start))),
        None => name(finding),
    });
    let mut doubts: Vec<String> = doubts.collect();
    doubts.dedup();
    (!doubts.is_empty()).then(|| format!(": {}; `jettison verify` says more", doubts.join(", ")))
}

/// Whether a finding tells what happened when the image was started.
fn is_trial(finding: &Finding) -> bool {
    finding.rule.starts_with("run-")
}

/// What happened when the image was started, if it was.
fn tried(verdict: &Verdict) -> String {
    let Some(trial) = verdict.findings.iter().find(|finding| is_trial(finding)) else { return String::new() };
    let text = plain(&trial.message);
    let cut = if text.chars().count() > TRIAL_CHARS { "…" } else { "" };
    format!("; {}{cut}", text.chars().take(TRIAL_CHARS).collect::<String>())
}

fn finding(finding: &Finding, origin: &Origin) -> Vec<Line> {
    let (tone, word) = match finding.weight {
        Weight::Error => (Tone::Bad, "error"),
        Weight::Warning => (Tone::Warning, "warning"),
        Weight::Note => (Tone::Faint, "note"),
    };
    let place = finding.span.filter(|_| !origin.name.is_empty()).map(|span| origin.place(span.start));
    let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
    let mut lines = vec![
        Line::new(tone, format!("{word}: "))
            .then(Tone::Normal, format!("{}{}", plain(&place), plain(&finding.message)))
            .then(Tone::Faint, format!(" [{}]", finding.rule)),
    ];
    for (how, text) in &finding.fixes {
        lines.push(Line::new(Tone::Faint, format!("  {}:", plain(how))));
        lines.extend(text.lines().map(|line| Line::new(Tone::Active, format!("      {}", plain(line)))));
    }
    lines
}

/// Names of files come from the image and may hold anything.
fn plain(text: &str) -> String {
    clean::line(&text.replace(['\n', '\r'], " "), Colour::Drop)
}

#[cfg(test)]
mod tests {
    use jettison_engine::event::Span;

    use super::*;

    fn text(verdict: &Verdict) -> String {
        let origin =
            Origin { name: "Dockerfile".into(), text: "FROM scratch\nCOPY x /x\nCMD [\"x\"]\n".into() };
        let lines = super::verdict(verdict, &origin, false);
        lines.iter().map(Line::plain).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_three_verdicts() {
        let starts =
            Verdict { outcome: Outcome::Starts, program: "/x (static)".into(), findings: Vec::new() };
        insta::assert_snapshot!(text(&starts), @"starts: /x (static)");
        let finding = Finding {
            weight: Weight::Warning,
            rule: "dlopen".into(),
            message: "/x loads libraries".into(),
            span: None,
            fixes: Vec::new(),
        };
        let unsure = Verdict { outcome: Outcome::Unsure, findings: vec![finding.clone()], ..starts.clone() };
        insta::assert_snapshot!(text(&unsure), @r"
        cannot be sure that it starts and runs well: /x (static): dlopen; `jettison verify` says more
        ");
        let nothing = Finding { rule: "command-empty".into(), ..finding.clone() };
        let library = Verdict { outcome: Outcome::Unsure, program: String::new(), findings: vec![nothing] };
        insta::assert_snapshot!(text(&library), @"cannot be sure that it starts and runs well: command empty; `jettison verify` says more");
        let answers = Finding {
            weight: Weight::Note,
            rule: "run-answers".into(),
            message: "started: port 80 answers after 0.1 s".into(),
            ..finding.clone()
        };
        let tried = Verdict { findings: vec![answers.clone()], ..starts.clone() };
        insta::assert_snapshot!(text(&tried), @"starts: /x (static); started: port 80 answers after 0.1 s");
        let ended = Finding {
            weight: Weight::Warning,
            rule: "run-ended".into(),
            message: "started and ended with exit code 3; it said: a\nb".into(),
            ..answers
        };
        let tried = Verdict { outcome: Outcome::Unsure, findings: vec![ended], ..starts.clone() };
        insta::assert_snapshot!(text(&tried), @"cannot be sure that it starts and runs well: /x (static); started and ended with exit code 3; it said: a b");
        let note = Finding { weight: Weight::Note, rule: "ca-certificates".into(), ..finding.clone() };
        let without = Verdict { findings: vec![note], ..starts.clone() };
        insta::assert_snapshot!(text(&without), @"starts: /x (static); without CA certificates, should it look for them");
        let finding = Finding {
            weight: Weight::Error,
            rule: "command-not-found".into(),
            message: "\"x\" is not\u{1b}[2J on PATH".into(),
            span: Some(Span { start: 23, end: 30 }),
            fixes: vec![("name it".into(), "CMD [\"/x\"]\nEXPOSE 1".into())],
        };
        let cannot = Verdict { outcome: Outcome::CannotStart, findings: vec![finding], ..starts };
        insta::assert_snapshot!(text(&cannot), @r#"
        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
        THIS IMAGE CANNOT START: /x (static)
        error: Dockerfile:3: "x" is not on PATH [command-not-found]
          name it:
              CMD ["/x"]
              EXPOSE 1
        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
        "#);
    }
}
