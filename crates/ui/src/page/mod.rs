//! The report of a build: one HTML page that stands by itself.
//!
//! No script and no network: a Content-Security-Policy inside the page forbids both, whatever texts of a Dockerfile or
//! of a context may hold; every text is escaped. Rows open with `<details>`, so the page works by keyboard. Colours
//! follow the reader's light or dark setting, and nothing is wider than a phone. `timeline.rs`, `graph.rs` and
//! `treemap.rs` draw one section each; `platforms.rs` lets the reader choose between the images of an index.

mod graph;
mod platforms;
mod timeline;
mod treemap;

use std::fmt::Write;

use crate::bytes::for_people;
use crate::record::{Found, Proof, Record, Step};
use platforms::Image;

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn page(record: &Record) -> String {
    let mut html = String::new();
    let title = escaped(&format!("{}: build report", record.dockerfile));
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n<main>\n"
    );
    let images = platforms::images(record);
    html.push_str(&header(record, &images));
    match &images[..] {
        [only] => {
            html.push_str(&verdicts(only));
            html.push_str(&timeline::section(record));
            html.push_str(&graph::section(record));
            html.push_str(&treemap::section(only));
        }
        several => {
            html.push_str(&platforms::choice(several));
            html.push_str(&timeline::section(record));
            html.push_str(&graph::section(record));
        }
    }
    html.push_str("</main>\n</html>\n");
    html
}

fn header(record: &Record, images: &[Image<'_>]) -> String {
    let count = |fate: &str| record.steps.iter().filter(|step| step.fate == fate).count();
    let name = record.names.first().map_or(record.dockerfile.as_str(), String::as_str);
    let mut html =
        format!("<header>\n<p class=\"kind\">jettison build report</p>\n<h1>{}</h1>\n", escaped(name));
    let mut facts = vec![
        ("Result", if record.succeeded { "built".to_owned() } else { "failed".to_owned() }),
        ("Time", seconds(record.elapsed_ms)),
        ("Steps", format!("{} ran, {} cached", count("ran") + count("failed"), count("cached"))),
    ];
    match images {
        [only] => facts.extend(sizes(only)),
        several => facts.push(("Platforms", several.len().to_string())),
    }
    html.push_str(&list(&facts));
    html.push_str(&digest(record.digest.as_deref()));
    html.push_str("</header>\n");
    html
}

/// How large an image is, and how much smaller than what it was made in.
fn sizes(image: &Image<'_>) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if image.digest.is_some() {
        facts.push(("Image", for_people(image.bytes)));
        facts.push(("To pull", for_people(image.pull_bytes)));
    }
    if let Some((_, bytes)) = image.left_behind.filter(|(_, bytes)| *bytes > image.bytes) {
        facts.push(("Smaller", format!("{:.0}×", *bytes as f64 / image.bytes.max(1) as f64)));
    }
    facts
}

fn list(facts: &[(&str, String)]) -> String {
    let mut html = String::from("<dl class=\"facts\">\n");
    for (term, value) in facts {
        let _ = writeln!(html, "<div><dt>{term}</dt><dd>{}</dd></div>", escaped(value));
    }
    html.push_str("</dl>\n");
    html
}

fn digest(digest: Option<&str>) -> String {
    digest.map_or(String::new(), |digest| format!("<p class=\"digest\">{}</p>\n", escaped(digest)))
}

fn verdicts(image: &Image<'_>) -> String {
    image.verdicts.iter().map(|proof| verdict(proof)).collect()
}

fn verdict(proof: &Proof) -> String {
    let words = match proof.outcome.as_str() {
        "starts" => "It starts",
        "unsure" => "It cannot be sure that it starts and runs well",
        _ => "It cannot start",
    };
    let mut html = format!(
        "<section class=\"verdict {}\">\n<h2>{words}</h2>\n<p><code>{}</code></p>\n",
        escaped(&proof.outcome),
        escaped(&proof.program)
    );
    for finding in &proof.findings {
        html.push_str(&one_finding(finding));
    }
    html.push_str("</section>\n");
    html
}

fn one_finding(finding: &Found) -> String {
    let place = finding.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
    let mut html = format!(
        "<details class=\"finding {0}\"><summary><b>{0}</b> {1}{2} <small>{3}</small></summary>\n",
        escaped(&finding.weight),
        escaped(&place),
        escaped(&finding.message),
        escaped(&finding.rule)
    );
    for (how, text) in &finding.fixes {
        let _ = write!(html, "<p>{}:</p>\n<pre>{}</pre>\n", escaped(how), escaped_lines(text));
    }
    if finding.fixes.is_empty() {
        html.push_str("<p>No way out is known for sure.</p>\n");
    }
    html.push_str("</details>\n");
    html
}

/// What became of a step, in words.
fn fate_words(step: &Step) -> &'static str {
    match step.fate.as_str() {
        "ran" => "ran",
        "cached" => "from the cache",
        "failed" => "failed",
        _ => "not needed",
    }
}

/// `2.3 s`, `12 ms`
fn seconds(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}

/// Text that is safe between tags and in attributes. Controls are dropped.
fn escaped(text: &str) -> String {
    escaped_lines(&text.replace(['\n', '\t'], " "))
}

/// The same with lines kept.
fn escaped_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push('\n'),
            // Marks that turn the direction of writing can make a text look like another one.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_place() {
        let hostile = "</title></style><script>alert(1)</script>\"'><img src=x onerror=y>\u{202e}\u{7}&";
        let step = Step {
            name: hostile.into(),
            stage: hostile.into(),
            place: hostile.into(),
            fate: "ran".into(),
            causes: vec![crate::record::Reason { text: hostile.into(), ..Default::default() }],
            needs: vec![7, 0],
        };
        let finding = Found {
            weight: hostile.into(),
            rule: hostile.into(),
            message: hostile.into(),
            place: Some(hostile.into()),
            fixes: vec![(hostile.into(), hostile.into())],
        };
        let record = Record {
            dockerfile: hostile.into(),
            names: vec![hostile.into()],
            digest: Some(hostile.into()),
            steps: vec![step],
            tasks: vec![crate::record::Bar {
                name: hostile.into(),
                start_ms: Some(9),
                end_ms: Some(1),
                end: hostile.into(),
            }],
            verdicts: vec![Proof {
                outcome: hostile.into(),
                platform: hostile.into(),
                program: hostile.into(),
                findings: vec![finding],
            }],
            left_behind: Some((hostile.into(), u64::MAX)),
            platforms: ["a", hostile]
                .map(|platform| crate::record::PlatformImage {
                    platform: platform.into(),
                    digest: hostile.into(),
                    bytes: u64::MAX,
                    pull_bytes: 0,
                    left_behind: Some((hostile.into(), u64::MAX)),
                })
                .into(),
            areas: vec![crate::record::Area {
                name: hostile.into(),
                is_image: true,
                platform: hostile.into(),
                folders: vec![(hostile.into(), u64::MAX), (hostile.into(), 0)],
            }],
            ..Record::default()
        };
        for record in [Record { platforms: Vec::new(), ..record.clone() }, record] {
            is_inside(&page(&record));
        }
    }

    fn is_inside(html: &str) {
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains('\u{202e}'), "{html}");
        assert_eq!(html.matches("</title>").count(), html.matches("<title>").count());
        assert_eq!(html.matches("</style>").count(), 1);
    }

    #[test]
    fn times_for_people() {
        let said: Vec<String> = [0, 999, 1000, 59_949, 61_500].map(seconds).to_vec();
        assert_eq!(said, ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 min 1 s"]);
    }
}
