//! The stages, from those that need nothing down to the image, with what flows between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::escaped;
use crate::record::Record;

/// Sizes in the picture's own units.
const NODE_WIDTH: usize = 200;
const NODE_HEIGHT: usize = 54;
const GAP_X: usize = 24;
const GAP_Y: usize = 46;
/// Longest name that fits.
const NAME_CHARS: usize = 22;
/// More stages are not drawn.
const STAGES_MAX: usize = 200;

struct Stage<'a> {
    name: &'a str,
    needs: BTreeSet<usize>,
    counts: BTreeMap<&'a str, usize>,
}

pub(super) fn section(record: &Record) -> String {
    let stages = stages(record);
    if stages.is_empty() || stages.len() > STAGES_MAX {
        return String::new();
    }
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut depths = vec![0; stages.len()];
    for (index, stage) in stages.iter().enumerate() {
        // Stages stand after what they need.
        depths[index] = stage.needs.iter().filter(|n| **n < index).map(|n| depths[*n] + 1).max().unwrap_or(0);
        rows.resize(rows.len().max(depths[index] + 1), Vec::new());
        rows[depths[index]].push(index);
    }
    let widest = rows.iter().map(Vec::len).max().unwrap_or(1);
    let width = widest * (NODE_WIDTH + GAP_X) + GAP_X;
    let height = rows.len() * (NODE_HEIGHT + GAP_Y) - GAP_Y + 4;
    let mut places = vec![(0, 0); stages.len()];
    for (depth, row) in rows.iter().enumerate() {
        let row_width = row.len() * (NODE_WIDTH + GAP_X) - GAP_X;
        for (column, stage) in row.iter().enumerate() {
            places[*stage] =
                ((width - row_width) / 2 + column * (NODE_WIDTH + GAP_X), depth * (NODE_HEIGHT + GAP_Y) + 2);
        }
    }
    let mut html = format!(
        "<section>\n<h2>Stages</h2>\n<p>{} in all; the last one is the image.</p>\n\
         <svg class=\"graph\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\" aria-label=\"graph of stages\">\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path d=\"M0 0 8 4 0 8z\"/></marker></defs>\n",
        stages.len()
    );
    for (index, stage) in stages.iter().enumerate() {
        for need in &stage.needs {
            let ((x1, y1), (x2, y2)) = (places[*need], places[index]);
            let (x1, y1, x2) = (x1 + NODE_WIDTH / 2, y1 + NODE_HEIGHT, x2 + NODE_WIDTH / 2);
            let middle = usize::midpoint(y1, y2);
            let _ = writeln!(
                html,
                "<path d=\"M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {}\" marker-end=\"url(#arrow)\"/>",
                y2.saturating_sub(1)
            );
        }
    }
    for (index, stage) in stages.iter().enumerate() {
        html.push_str(&node(stage, places[index], index + 1 == stages.len()));
    }
    html.push_str("</svg>\n</section>\n");
    html
}

fn node(stage: &Stage<'_>, (x, y): (usize, usize), is_target: bool) -> String {
    let short: String = stage.name.chars().take(NAME_CHARS).collect();
    let count = |fate: &str| stage.counts.get(fate).copied().unwrap_or(0);
    let words: Vec<String> = [
        (count("ran"), "ran"),
        (count("failed"), "failed"),
        (count("cached"), "cached"),
        (count("not-needed"), "not needed"),
    ]
    .iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, words)| format!("{n} {words}"))
    .collect();
    let class = match (is_target, count("ran") + count("failed")) {
        (true, _) => "target",
        (false, 0) => "untouched",
        _ => "",
    };
    format!(
        "<g class=\"{class}\"><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{NODE_WIDTH}\" height=\"{NODE_HEIGHT}\" rx=\"9\"/>\
         <text x=\"{}\" y=\"{}\">{}</text><text class=\"small\" x=\"{}\" y=\"{}\">{}</text></g>\n",
        escaped(stage.name),
        x + 14,
        y + 23,
        escaped(&short),
        x + 14,
        y + 41,
        escaped(&words.join(", "))
    )
}

fn stages(record: &Record) -> Vec<Stage<'_>> {
    let mut stages: Vec<Stage<'_>> = Vec::new();
    let mut of_step = Vec::new();
    for step in &record.steps {
        let known = stages.iter().position(|stage| stage.name == step.stage);
        let index = known.unwrap_or_else(|| {
            stages.push(Stage { name: &step.stage, needs: BTreeSet::new(), counts: BTreeMap::new() });
            stages.len() - 1
        });
        of_step.push(index);
        *stages[index].counts.entry(&step.fate).or_default() += 1;
    }
    for (step, stage) in record.steps.iter().zip(&of_step) {
        let needs = step.needs.iter().filter_map(|need| of_step.get(*need)).filter(|need| *need != stage);
        stages[*stage].needs.extend(needs.copied());
    }
    stages
}
