//! Where the bytes are: what leaves beside what was thrown overboard, then a map of the folders of each.
//!
//! Squarified treemaps: Bruls, Huizing, van Wijk, "Squarified Treemaps", 2000.

use std::fmt::Write;

use super::escaped;
use super::platforms::Image;
use crate::bytes::for_people;
use crate::record::Area;

/// Sides of the map, in its own units: nearly those that it has on a wide screen.
const SIDES: (f64, f64) = (16.0, 7.0);
/// Smaller pieces have no label: parts of the width and of the height.
const LABELLED: (f64, f64) = (0.085, 0.11);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Rectangle {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

pub(super) fn section(shown: &Image<'_>) -> String {
    if shown.digest.is_none() && shown.areas.is_empty() {
        return String::new();
    }
    let (leaving, overboard): (Vec<&Area>, Vec<&Area>) = shown.areas.iter().partition(|area| area.is_image);
    let thrown: u64 = if overboard.is_empty() {
        shown.left_behind.map_or(0, |(_, bytes)| *bytes)
    } else {
        overboard.iter().map(|area| bytes_of(area)).fold(0, u64::saturating_add)
    };
    let image = leaving.first().map_or(shown.bytes, |area| bytes_of(area));
    let mut html = String::from("<section>\n<h2>Bytes</h2>\n");
    if thrown > 0 {
        let part = image as f64 / (image as f64 + thrown as f64) * 100.0;
        let _ = write!(
            html,
            "<p>{} leave, {} were thrown overboard: drawn to scale.</p>\n\
             <div class=\"share\" role=\"img\" aria-label=\"{part:.2} per cent leave\"><i style=\"width:{part:.3}%\"></i></div>\n\
             <ul class=\"legend\"><li><i style=\"background:var(--good)\"></i>the image</li>\
             <li><i class=\"cached\"></i>thrown overboard</li></ul>\n",
            for_people(image),
            for_people(thrown)
        );
    } else {
        let _ = writeln!(html, "<p>{} in the image.</p>", for_people(image));
    }
    for area in leaving.into_iter().chain(overboard) {
        let title = if area.is_image {
            format!("The image: {}", for_people(bytes_of(area)))
        } else {
            format!("Thrown overboard, stage {}: {}", area.name, for_people(bytes_of(area)))
        };
        let _ = write!(html, "<h3>{}</h3>\n{}{}", escaped(&title), map(area), list(area));
    }
    if shown.areas.is_empty() {
        html.push_str("<p>Built with --report, the page shows the folders too.</p>\n");
    }
    html.push_str("</section>\n");
    html
}

fn bytes_of(area: &Area) -> u64 {
    area.folders.iter().map(|(_, bytes)| *bytes).fold(0, u64::saturating_add)
}

fn map(area: &Area) -> String {
    let sizes: Vec<f64> = area.folders.iter().map(|(_, bytes)| *bytes as f64).collect();
    let mut html = String::from("<div class=\"map\" aria-hidden=\"true\">\n");
    for ((name, bytes), at) in area.folders.iter().zip(squarified(&sizes)) {
        let parts = (at.width / SIDES.0, at.height / SIDES.1);
        if parts.0 <= 0.0 || parts.1 <= 0.0 {
            continue;
        }
        let size = for_people(*bytes);
        let label = if parts.0 >= LABELLED.0 && parts.1 >= LABELLED.1 {
            format!("<b>{}</b><span>{size}</span>", escaped(name))
        } else {
            String::new()
        };
        let _ = writeln!(
            html,
            "<div style=\"left:{:.3}%;top:{:.3}%;width:{:.3}%;height:{:.3}%\" title=\"{}: {size}\">{label}</div>",
            at.x / SIDES.0 * 100.0,
            at.y / SIDES.1 * 100.0,
            parts.0 * 100.0,
            parts.1 * 100.0,
            escaped(name)
        );
    }
    html.push_str("</div>\n");
    html
}

/// The same as numbers, for whoever cannot see the map.
fn list(area: &Area) -> String {
    let mut html = String::from("<details class=\"list\"><summary>The same as a list</summary>\n<table>\n");
    for (name, bytes) in &area.folders {
        let _ = writeln!(html, "<tr><td>{}</td><td>{}</td></tr>", escaped(name), for_people(*bytes));
    }
    html.push_str("</table></details>\n");
    html
}

/// A rectangle for each size; sizes stand in falling order.
fn squarified(sizes: &[f64]) -> Vec<Rectangle> {
    let total: f64 = sizes.iter().sum();
    let mut placed = Vec::new();
    if total <= 0.0 {
        return sizes.iter().map(|_| Rectangle { x: 0.0, y: 0.0, width: 0.0, height: 0.0 }).collect();
    }
    let scale = SIDES.0 * SIDES.1 / total;
    let areas: Vec<f64> = sizes.iter().map(|size| size * scale).collect();
    let mut free = Rectangle { x: 0.0, y: 0.0, width: SIDES.0, height: SIDES.1 };
    let mut start = 0;
    while start < areas.len() {
        let side = free.width.min(free.height).max(1e-9);
        let mut end = start + 1;
        while end < areas.len() && worst(&areas[start..=end], side) <= worst(&areas[start..end], side) {
            end += 1;
        }
        let sum: f64 = areas[start..end].iter().sum();
        let thickness = sum / side;
        let mut along = 0.0;
        for area in &areas[start..end] {
            let length = if sum > 0.0 { area / sum * side } else { 0.0 };
            placed.push(if free.width >= free.height {
                Rectangle { x: free.x, y: free.y + along, width: thickness, height: length }
            } else {
                Rectangle { x: free.x + along, y: free.y, width: length, height: thickness }
            });
            along += length;
        }
        if free.width >= free.height {
            free = Rectangle { x: free.x + thickness, width: (free.width - thickness).max(0.0), ..free };
        } else {
            free = Rectangle { y: free.y + thickness, height: (free.height - thickness).max(0.0), ..free };
        }
        start = end;
    }
    placed
}

/// The worst ratio of sides if these areas fill one row.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let ratio = |area: f64| {
        let (a, b) = (side * side * area / (sum * sum), sum * sum / (side * side * area));
        a.max(b)
    };
    row.iter().map(|area| ratio(area.max(1e-12))).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_fill_the_map_and_do_not_overlap() {
        let sizes = [600.0, 600.0, 400.0, 300.0, 200.0, 200.0, 100.0, 0.0];
        let placed = squarified(&sizes);
        assert_eq!(placed.len(), sizes.len());
        let total: f64 = placed.iter().map(|r| r.width * r.height).sum();
        assert!((total - SIDES.0 * SIDES.1).abs() < 1e-6, "{total}");
        for (index, a) in placed.iter().enumerate() {
            assert!(
                a.x >= -1e-9 && a.x + a.width <= SIDES.0 + 1e-6 && a.y + a.height <= SIDES.1 + 1e-6,
                "{a:?}"
            );
            for b in &placed[..index] {
                let apart = a.x + a.width <= b.x + 1e-9
                    || b.x + b.width <= a.x + 1e-9
                    || a.y + a.height <= b.y + 1e-9
                    || b.y + b.height <= a.y + 1e-9;
                assert!(apart, "{a:?} {b:?}");
            }
        }
        assert_eq!(squarified(&[0.0, 0.0]).len(), 2);
    }
}
