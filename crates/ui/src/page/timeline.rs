//! What ran when: lanes of what went on at the same time, then a row for each step and task with the reason.

use std::fmt::Write;

use super::{escaped, fate_words, seconds};
use crate::record::{Bar, Record};

/// Height of a lane in the picture.
const LANE: usize = 12;
/// Most lanes that are drawn.
const LANES_MAX: usize = 40;
/// Width of the picture in its own units.
const WIDTH: f64 = 1000.0;

pub(super) fn section(record: &Record) -> String {
    let total =
        record.tasks.iter().filter_map(|bar| bar.end_ms).max().unwrap_or(0).max(record.elapsed_ms).max(1);
    let mut html = format!(
        "<section>\n<h2>Timeline</h2>\n<p>{} on {} processors. Each row opens and says why it ran.</p>\n",
        escaped(&seconds(total)),
        record.cores
    );
    html.push_str("<ul class=\"legend\">");
    for (class, words) in
        [("ran", "ran"), ("cached", "from the cache"), ("failed", "failed"), ("other", "pull, export, trial")]
    {
        let _ = write!(html, "<li><i class=\"{class}\"></i>{words}</li>");
    }
    html.push_str("</ul>\n");
    html.push_str(&lanes(record, total));
    let _ = writeln!(
        html,
        "<div class=\"axis\"><span>0</span><span>{}</span><span>{}</span></div>",
        escaped(&seconds(total / 2)),
        escaped(&seconds(total))
    );
    for (index, bar) in record.tasks.iter().enumerate() {
        html.push_str(&row(record, index, bar, total));
    }
    html.push_str("</section>\n");
    html
}

/// The kind of a bar, for its colour.
fn class(record: &Record, index: usize, bar: &Bar) -> &'static str {
    match bar.end.as_str() {
        "cached" => "cached",
        "failed" | "canceled" => "failed",
        _ if index >= record.steps.len() => "other",
        _ => "ran",
    }
}

/// What went on at the same time: each task in the first lane that is free.
fn lanes(record: &Record, total: u64) -> String {
    let mut timed: Vec<(u64, u64, usize)> = Vec::new();
    for (index, bar) in record.tasks.iter().enumerate() {
        if let (Some(start), Some(end)) = (bar.start_ms, bar.end_ms)
            && bar.end != "cached"
        {
            timed.push((start, end.max(start), index));
        }
    }
    timed.sort_unstable();
    let mut free: Vec<u64> = Vec::new();
    let mut bars = String::new();
    for (start, end, index) in timed {
        let lane = match free.iter().position(|until| *until <= start) {
            Some(lane) => lane,
            None if free.len() < LANES_MAX => {
                free.push(0);
                free.len() - 1
            }
            None => continue,
        };
        free[lane] = end;
        let scale = |time: u64| time as f64 / total as f64 * WIDTH;
        let bar = &record.tasks[index];
        let _ = writeln!(
            bars,
            "<rect class=\"{}\" x=\"{:.2}\" y=\"{}\" width=\"{:.2}\" height=\"{}\" rx=\"1\"><title>{}: {}</title></rect>",
            class(record, index, bar),
            scale(start),
            lane * LANE + 2,
            (scale(end) - scale(start)).max(2.0),
            LANE - 4,
            escaped(&bar.name),
            escaped(&seconds(end - start))
        );
    }
    let height = free.len().max(1) * LANE;
    format!(
        "<svg class=\"lanes\" viewBox=\"0 0 {WIDTH} {height}\" preserveAspectRatio=\"none\" style=\"height:{height}px\" \
         role=\"img\" aria-label=\"{} tasks side by side\">\n{bars}</svg>\n",
        free.len()
    )
}

fn row(record: &Record, index: usize, bar: &Bar, total: u64) -> String {
    let step = record.steps.get(index);
    let class = class(record, index, bar);
    let words = match (step, bar.start_ms.zip(bar.end_ms)) {
        (Some(step), Some((start, end))) if step.fate != "cached" => {
            format!("{}, {}", fate_words(step), seconds(end.saturating_sub(start)))
        }
        (Some(step), _) => fate_words(step).to_owned(),
        (None, Some((start, end))) => seconds(end.saturating_sub(start)),
        (None, None) => String::new(),
    };
    let mut html =
        format!("<details class=\"row {class}\"><summary><span class=\"name\">{}</span>", escaped(&bar.name));
    let _ = write!(html, "<span class=\"time\">{}</span>", escaped(&words));
    let causes = step.map(|step| &step.causes[..]).unwrap_or_default();
    if let Some(first) = causes.first() {
        let more = if causes.len() > 1 { format!(" (and {} more)", causes.len() - 1) } else { String::new() };
        let _ = write!(html, "<span class=\"cause\">{}{more}</span>", escaped(&first.text));
    }
    if let Some((start, end)) = bar.start_ms.zip(bar.end_ms).filter(|_| class != "cached") {
        let percent = |time: u64| time as f64 / total as f64 * 100.0;
        let _ = write!(
            html,
            "<span class=\"track\"><i style=\"left:{:.2}%;width:{:.2}%\"></i></span>",
            percent(start).min(99.7),
            percent(end.saturating_sub(start))
        );
    }
    html.push_str("</summary>\n");
    if causes.len() > 1 || (causes.len() == 1 && step.is_some()) {
        html.push_str("<ul>");
        for cause in causes {
            let _ = write!(html, "<li>{}</li>", escaped(&cause.text));
        }
        html.push_str("</ul>\n");
    }
    let place = step.map_or(String::new(), |step| step.place.clone());
    let what = match class {
        "cached" => "Nothing that it depends on has changed.",
        "other" => "No step of the Dockerfile: it belongs to the work around them.",
        _ => "",
    };
    if !(place.is_empty() && what.is_empty()) {
        let _ = writeln!(html, "<p>{} {what}</p>", escaped(&place));
    }
    html.push_str("</details>\n");
    html
}
