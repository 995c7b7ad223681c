//! `jettison size`: where the bytes of an image are.

use std::process::ExitCode;

use jettison_engine::Image;
use jettison_inspect::size::{Counter, FileUsage, Usage};
use jettison_layer::Limits;
use jettison_oci::History;
use jettison_store::Store;
use jettison_ui::bytes::for_people;
use jettison_ui::table::Table;
use jettison_ui::{cut_instruction, pull_time};
use serde_json::json;

use super::folders::folders;
use super::image_source::{self, Source};
use super::{print, warn_of_gap};
use crate::args::{ReportFormat, Size};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::proof;

/// Entries of each list.
const LONGEST: usize = 10;
/// Folders that are shown of each stage that stayed behind.
const FOLDERS_OF_STAGE: usize = 3;
/// Characters of an instruction that are shown.
const INSTRUCTION_CHARS: usize = 60;

pub(crate) fn run(args: &Size, environment: &Environment) -> Result<ExitCode, Failure> {
    let platform = image_source::platform(args.platform.as_deref())?;
    let source = Source::open(&args.image, &platform, environment)?;
    let mut text = String::new();
    for (name, image) in &source.images {
        source.fetch(image, environment)?;
        let mut counter = Counter::default();
        for (descriptor, diff_id) in image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids) {
            proof::with_layer(&source.store, descriptor, diff_id, |tar| {
                counter.add(tar, &Limits::default())
            })?;
        }
        let usage = counter.finish(LONGEST);
        for gap in &usage.gaps {
            warn_of_gap(gap);
        }
        let left = left_behind(&source.store, image)?;
        match args.format {
            ReportFormat::Json => text.push_str(&format!("{}\n", object(name, image, &usage, &left))),
            ReportFormat::Text => text.push_str(&for_reading(name, image, &usage, &left)),
        }
    }
    print(&text)
}

/// A stage that stayed behind, and its largest folders as long as it is in the store.
struct Stage {
    name: String,
    bytes: u64,
    folders: Vec<(String, u64)>,
}

/// What the build of an image left behind; known where it was built.
fn left_behind(store: &Store, image: &Image) -> Result<Vec<Stage>, Failure> {
    let mut stages = Vec::new();
    for stage in jettison_engine::left_behind(store, &image.descriptor.digest)? {
        // Folders are an extra: that they cannot be had any more is no reason to say nothing.
        let root = stage.files(store).ok().flatten();
        let folders = root.and_then(|root| folders(&root, FOLDERS_OF_STAGE).ok()).unwrap_or_default();
        stages.push(Stage { name: stage.name, bytes: stage.bytes, folders });
    }
    Ok(stages)
}

fn object(name: &str, image: &Image, usage: &Usage, left: &[Stage]) -> serde_json::Value {
    let mut object = serde_json::to_value(usage).expect("sizes can always be written as JSON");
    object["image"] = json!(name);
    object["digest"] = json!(image.descriptor.digest);
    object["compressedBytes"] = json!(compressed(image));
    object["leftBehind"] = left
        .iter()
        .map(|stage| {
            let folders = stage.folders.iter().map(|(path, bytes)| json!({"path": path, "bytes": bytes}));
            json!({"stage": stage.name, "bytes": stage.bytes, "folders": folders.collect::<Vec<_>>()})
        })
        .collect();
    for (index, created_by) in instructions(image).into_iter().enumerate() {
        object["layers"][index]["createdBy"] = json!(created_by);
        object["layers"][index]["compressedBytes"] = json!(image.manifest.layers[index].size);
    }
    object
}

/// Bytes that a pull transfers.
fn compressed(image: &Image) -> u64 {
    image.manifest.packed_bytes()
}

/// The instruction of each layer, from the history.
fn instructions(image: &Image) -> Vec<String> {
    let with_layer = image.config.history.iter().filter(|entry| !entry.empty_layer);
    // What squashes says what it did in the comment.
    let text = |entry: &History| entry.created_by.clone().or_else(|| entry.comment.clone());
    let texts = with_layer.map(|entry| text(entry).unwrap_or_default());
    texts.chain(std::iter::repeat(String::new())).take(image.manifest.layers.len()).collect()
}

fn for_reading(name: &str, image: &Image, usage: &Usage, left: &[Stage]) -> String {
    let compressed = compressed(image);
    let mut text = format!(
        "{name}: {} in files, {} to pull ({})\n\n",
        for_people(usage.bytes),
        for_people(compressed),
        pull_time(compressed)
    );
    let mut table = Table::new(["LAYER", "FILES", "BYTES", "HIDDEN LATER", "TO PULL", "INSTRUCTION"])
        .right(&[0, 1, 2, 3, 4]);
    for (index, (layer, instruction)) in usage.layers.iter().zip(instructions(image)).enumerate() {
        let instruction = cut_instruction(&instruction, INSTRUCTION_CHARS);
        table.row([
            (index + 1).to_string(),
            layer.files.to_string(),
            for_people(layer.bytes),
            if layer.hidden_bytes == 0 { "-".to_owned() } else { for_people(layer.hidden_bytes) },
            for_people(image.manifest.layers[index].size),
            instruction,
        ]);
    }
    text.push_str(&table.to_string());
    for (title, list) in [("FOLDER", &usage.folders), ("FILE", &usage.files), ("PACKAGE", &usage.packages)] {
        text.push_str(&list_of(title, list));
    }
    if !usage.duplicates.is_empty() {
        let mut table = Table::new(["WASTED", "THE SAME CONTENT"]).right(&[0]);
        for duplicate in &usage.duplicates {
            table.row([for_people(duplicate.wasted_bytes), plain(&duplicate.paths.join(" "))]);
        }
        text.push_str(&format!("\n{table}"));
    }
    text.push_str(&list_of_stages(left));
    text
}

fn list_of_stages(left: &[Stage]) -> String {
    if left.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["BYTES", "STAGE LEFT BEHIND", "MOST OF IT"]).right(&[0]);
    for stage in left {
        let folders = stage.folders.iter().map(|(path, bytes)| format!("{path} {}", for_people(*bytes)));
        let folders = folders.collect::<Vec<_>>().join(", ");
        table.row([for_people(stage.bytes), plain(&stage.name), plain(&folders)]);
    }
    format!("\n{table}")
}

fn list_of(title: &'static str, list: &[FileUsage]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["BYTES", title]).right(&[0]);
    for entry in list {
        table.row([for_people(entry.bytes), plain(&entry.path)]);
    }
    format!("\n{table}")
}

/// Names come from the image and may hold anything.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
