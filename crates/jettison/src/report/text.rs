//! Findings for people: each as the errors of a build are shown, and a last line that sums up.

use annotate_snippets::{Level, Renderer};
use jettison_dockerfile::lint::Finding;
use jettison_engine::Checked;

use crate::snippet::{Remark, Source};

fn renderer(colour: bool) -> Renderer {
    if colour { Renderer::styled() } else { Renderer::plain() }
}

/// All findings, and how many there are.
pub(crate) fn findings(source: &Source<'_>, checked: &Checked, colour: bool) -> String {
    let renderer = renderer(colour);
    let mut text = String::new();
    let mut in_order: Vec<&Finding> = checked.findings.iter().collect();
    in_order.sort_by_key(|finding| finding.span);
    for finding in in_order {
        let url = finding.rule.url();
        let mut notes = Vec::new();
        if finding.rule.description != finding.message {
            notes.push((Level::NOTE, finding.rule.description));
        }
        notes.extend(url.as_deref().map(|url| (Level::HELP, url)));
        let (rule, message) = (Some(finding.rule.name), finding.message.as_str());
        text += &source.draw(&renderer, finding.span, Remark { level: Level::WARNING, rule, message, notes });
        text.push('\n');
    }
    if checked.errors.is_empty() {
        text += &match checked.findings.len() + checked.dropped {
            0 => "Check complete, no warnings found.\n".to_owned(),
            1 => "Check complete, 1 warning has been found!\n".to_owned(),
            count => format!("Check complete, {count} warnings have been found!\n"),
        };
    }
    text
}

/// What is worth saying but is no finding goes to standard error: misspelt directives, bases that nobody could look
/// at, findings that were too many.
pub(crate) fn print_remarks(source: &Source<'_>, checked: &Checked, colour: bool) {
    let text = remarks(source, checked, colour);
    // Nobody is left to tell if standard error is gone.
    let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), text.as_bytes());
}

pub(super) fn remarks(source: &Source<'_>, checked: &Checked, colour: bool) -> String {
    let renderer = renderer(colour);
    let mut text = String::new();
    for remark in &checked.remarks {
        let notes = remark.hint.iter().map(|hint| (Level::HELP, hint.as_str())).collect();
        let (level, message) = (Level::WARNING, remark.message.as_str());
        text += &source.draw(&renderer, remark.span, Remark { level, rule: None, message, notes });
    }
    for (image, error) in &checked.unknown_bases {
        let (line, column) = source.position(image.span.start);
        text += &format!(
            "note: {}:{line}:{column}: {error}; the variables of {} are not known, so no variable is called undefined in \
             stages on it\n",
            source.name(),
            image.reference.familiar()
        );
    }
    if checked.dropped > 0 {
        text += &format!("note: {} more findings are not shown\n", checked.dropped);
    }
    text
}
