//! What came out of a build, as text: each entry of the history with the files of its layer, then the config.
//!
//! What a base brought is named and not shown: the layers and history that it has, and keys of the config that are as
//! they were. So a case shows what its Dockerfile did and nothing else.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::archive::{Entry, Image, Kind};

/// The PATH that every image has.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Longest content that is shown as it is.
const SHOWN_BYTES: usize = 240;

/// The time that a build gives to what it makes, if nothing else is asked for: 1980-01-01.
const USUAL_TIME: i64 = 315_532_800;

/// An image that a build may have begun with.
#[derive(Debug, Clone)]
pub struct Base {
    /// What Dockerfiles call it.
    pub name: &'static str,
    /// The image.
    pub image: Image,
}

/// The outcome of a build that succeeded.
pub fn outcome(image: &Image, bases: &[Base]) -> String {
    let base =
        bases.iter().filter(|base| begins_with(image, &base.image)).max_by_key(|b| b.image.layers.len());
    let mut text = String::new();
    let _ = writeln!(text, "FROM {}", base.map_or("scratch", |base| base.name));
    let (entries, layers) = base.map_or((0, 0), |b| (history(&b.image).len(), b.image.layers.len()));
    let mut layers = image.layers[layers..].iter();
    for entry in &history(image)[entries..] {
        // What made no instruction has nothing but a comment.
        let text_of = |key: &str| entry[key].as_str();
        let by = text_of("created_by").or_else(|| text_of("comment")).unwrap_or("-");
        let _ = writeln!(text, "{}", one_line(by));
        if entry["empty_layer"] == true {
            continue;
        }
        match layers.next() {
            None => text.push_str("    no layer, though the history says so\n"),
            Some(layer) if layer.is_empty() => text.push_str("    nothing\n"),
            Some(layer) => layer.iter().for_each(|entry| {
                let _ = writeln!(text, "    {}", layer_line(entry));
            }),
        }
    }
    for _ in layers {
        text.push_str("a layer without history\n");
    }
    text.push_str(&config(&image.config, base.map(|base| &base.image.config)));
    text
}

fn begins_with(image: &Image, base: &Image) -> bool {
    image.layers.starts_with(&base.layers) && history(image).starts_with(history(base))
}

fn history(image: &Image) -> &[Value] {
    image.config["history"].as_array().map_or(&[], Vec::as_slice)
}

/// Keys of the config that are not as the base had them.
fn config(image: &Value, base: Option<&Value>) -> String {
    let scratch = serde_json::json!({"config": {"Env": [PATH], "WorkingDir": "/"}});
    let base = base.unwrap_or(&scratch);
    let mut text = String::new();
    if let Some(author) = image["author"].as_str().filter(|_| image["author"] != base["author"]) {
        let _ = writeln!(text, "author {author}");
    }
    let empty = serde_json::Map::new();
    let (now, before) =
        (image["config"].as_object().unwrap_or(&empty), base["config"].as_object().unwrap_or(&empty));
    let mut keys: Vec<&String> = now.keys().chain(before.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys.into_iter().filter(|key| now.get(*key) != before.get(*key)) {
        let shown =
            now.get(key).map_or("absent".to_owned(), |value| value.to_string().replace(PATH, "PATH=…"));
        let _ = writeln!(text, "{key} {shown}");
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn layer_line(entry: &Entry) -> String {
    let (folder, name) = entry.path.rsplit_once('/').map_or(("", entry.path.as_str()), |(f, n)| (f, n));
    if let Some(deleted) = name.strip_prefix(".wh.") {
        let slash = if folder.is_empty() { "" } else { "/" };
        let odd = if node(entry) == "-000 0:0 \"\"" { "" } else { " (with odd metadata)" };
        return format!("deleted {folder}{slash}{deleted}{odd}");
    }
    if let Kind::HardLink(target) = &entry.kind {
        return format!("link {} = {target}", entry.path);
    }
    let time = if entry.mtime == USUAL_TIME { String::new() } else { format!(" mtime={}", entry.mtime) };
    let slash = if entry.kind == Kind::Directory { "/" } else { "" };
    let text = node(entry);
    let mut parts = text.splitn(3, ' ');
    let mut next = || parts.next().unwrap_or_default();
    let (mode, owner, rest) = (next(), next(), next());
    let gap = if rest.is_empty() { "" } else { " " };
    format!("{mode} {owner} {}{slash}{gap}{rest}{time}", entry.path.escape_debug())
}

/// Type, mode, owner, content and capability, without the path.
pub(crate) fn node(entry: &Entry) -> String {
    let (letter, rest) = match &entry.kind {
        Kind::File(content) => ('-', shown(content)),
        Kind::Directory => ('d', String::new()),
        Kind::Symlink(target) => ('l', format!("-> {target}")),
        Kind::HardLink(target) => ('h', format!("= {target}")),
        Kind::Character(major, minor) => ('c', format!("device {major},{minor}")),
        Kind::Block(major, minor) => ('b', format!("device {major},{minor}")),
        Kind::Fifo => ('p', String::new()),
    };
    let mut text = format!("{letter}{:03o} {}:{}", entry.mode, entry.uid, entry.gid);
    if !rest.is_empty() {
        let _ = write!(text, " {rest}");
    }
    if let Some(capability) = &entry.capability {
        let hex = hex(capability);
        let _ = write!(text, " security.capability={hex}");
    }
    text
}

/// Short text as it is, everything else by size and digest.
fn shown(content: &[u8]) -> String {
    match std::str::from_utf8(content) {
        Ok(text) if text.len() <= SHOWN_BYTES => format!("{text:?}"),
        _ => {
            let digest = hex(&Sha256::digest(content)[..8]);
            format!("{} bytes sha256:{digest}…", content.len())
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
