//! Whether an image starts, for people: one line when it does, a block that cannot be overlooked when it cannot.

use jettison_engine::event::{Finding, Outcome, Verdict, Weight};

use crate::clean::{self, Colour};
use crate::line::{Line, Tone};
use crate::model::Origin;

/// Columns of the rule above and below a block.
const RULE_COLUMNS: usize = 72;

/// The lines for a verdict. `origin` is the Dockerfile that its places lie in; `with_notes`: say what changes nothing
/// as well.
pub fn verdict(verdict: &Verdict, origin: &Origin, with_notes: bool) -> Vec<Line> {
    let program = plain(&verdict.program);
    let mut lines = Vec::new();
    match verdict.outcome {
        Outcome::Starts => lines.push(Line::new(Tone::Good, "starts: ").then(Tone::Normal, program)),
        Outcome::Unsure => lines.push(
            Line::new(Tone::Warning, "cannot be sure that it starts and runs well: ")
                .then(Tone::Normal, program),
        ),
        Outcome::CannotStart => {
            lines.push(Line::new(Tone::Bad, "━".repeat(RULE_COLUMNS)));
            let program = if program.is_empty() { program } else { format!(": {program}") };
            lines.push(Line::new(Tone::Bad, "THIS IMAGE CANNOT START").then(Tone::Normal, program));
        }
    }
    let shown = verdict.findings.iter().filter(|finding| with_notes || finding.weight > Weight::Note);
    for finding in shown {
        lines.extend(self::finding(finding, origin));
    }
    if verdict.outcome == Outcome::CannotStart {
        lines.push(Line::new(Tone::Bad, "━".repeat(RULE_COLUMNS)));
    }
    lines
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
        cannot be sure that it starts and runs well: /x (static)
        warning: /x loads libraries [dlopen]
        ");
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
