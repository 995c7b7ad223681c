//! The images of an index, of which the reader chooses one: its sizes, its verdict, where its bytes are.
//!
//! The choice is a group of radio buttons, so that Tab comes to it and arrows change it without a script; the style sheet
//! shows what belongs to the chosen one. On paper all of them stand below each other.

use std::fmt::Write;

use super::{digest, escaped, list, sizes, treemap, verdicts};
use crate::bytes::for_people;
use crate::record::{Area, Proof, Record};

/// What is shown of one image.
#[derive(Debug, Default)]
pub(super) struct Image<'a> {
    /// `linux/amd64`; empty if there is only one.
    pub(super) platform: &'a str,
    pub(super) digest: Option<&'a str>,
    pub(super) bytes: u64,
    pub(super) pull_bytes: u64,
    pub(super) left_behind: Option<&'a (String, u64)>,
    pub(super) verdicts: Vec<&'a Proof>,
    pub(super) areas: Vec<&'a Area>,
}

/// The images of a build; one at least, even if nothing was built.
pub(super) fn images(record: &Record) -> Vec<Image<'_>> {
    let platforms = platforms(record);
    if platforms.len() < 2 {
        return vec![Image {
            platform: "",
            digest: record.digest.as_deref(),
            bytes: record.bytes,
            pull_bytes: record.pull_bytes,
            left_behind: record.left_behind.as_ref(),
            verdicts: record.verdicts.iter().collect(),
            areas: record.areas.iter().collect(),
        }];
    }
    platforms.into_iter().map(|platform| image(record, platform)).collect()
}

/// In the order of the index; of a build that failed, those that came far enough to be judged.
fn platforms(record: &Record) -> Vec<&str> {
    if !record.platforms.is_empty() {
        return record.platforms.iter().map(|image| image.platform.as_str()).collect();
    }
    let judged = record.verdicts.iter().map(|proof| proof.platform.as_str());
    let mut platforms: Vec<&str> =
        judged.chain(record.areas.iter().map(|area| area.platform.as_str())).collect();
    platforms.sort_unstable();
    platforms.dedup();
    platforms
}

fn image<'a>(record: &'a Record, platform: &'a str) -> Image<'a> {
    let known = record.platforms.iter().find(|image| image.platform == platform);
    Image {
        platform,
        digest: known.map(|image| image.digest.as_str()),
        bytes: known.map_or(0, |image| image.bytes),
        pull_bytes: known.map_or(0, |image| image.pull_bytes),
        left_behind: known.and_then(|image| image.left_behind.as_ref()),
        verdicts: record.verdicts.iter().filter(|proof| proof.platform == platform).collect(),
        areas: record.areas.iter().filter(|area| area.platform == platform).collect(),
    }
}

/// The buttons, and what belongs to each.
pub(super) fn choice(images: &[Image<'_>]) -> String {
    let mut html = String::from("<div class=\"platforms\" role=\"radiogroup\" aria-label=\"Platform\">\n");
    for (number, image) in images.iter().enumerate() {
        let checked = if number == 0 { " checked" } else { "" };
        let _ = write!(
            html,
            "<input type=\"radio\" name=\"platform\" id=\"platform-{number}\"{checked}>\n\
             <label for=\"platform-{number}\"><b>{}</b>{}</label>\n<div class=\"panel\">\n",
            escaped(image.platform),
            in_few_words(image)
        );
        if image.digest.is_some() {
            html.push_str(&list(&sizes(image)));
            html.push_str(&digest(image.digest));
        }
        html.push_str(&verdicts(image));
        html.push_str(&treemap::section(image));
        html.push_str("</div>\n");
    }
    html.push_str("</div>\n");
    html
}

/// What tells the images apart at a glance: the verdict and the size.
fn in_few_words(image: &Image<'_>) -> String {
    let mut html = String::new();
    if let Some(proof) = image.verdicts.first() {
        let words = match proof.outcome.as_str() {
            "starts" => "starts",
            "unsure" => "not sure",
            _ => "cannot start",
        };
        let _ = write!(html, "<span class=\"{}\">{words}</span> ", escaped(&proof.outcome));
    }
    if image.digest.is_some() {
        let _ = write!(html, "<small>{}</small>", for_people(image.bytes));
    }
    html
}
