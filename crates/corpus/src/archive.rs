//! An image out of the archive that `docker save` and `--output type=docker` write.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tar::EntryType;

/// An image: its config as it is, and its layers, the lowest first.
#[derive(Debug, Clone)]
pub struct Image {
    /// The whole config document.
    pub config: Value,
    /// Entries of each layer, in their order.
    pub layers: Vec<Vec<Entry>>,
}

/// An entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path without leading or trailing slash; bytes that are no text are replaced.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with set-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    /// The attribute `security.capability`.
    pub capability: Option<Vec<u8>>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file and its content.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Symlink(String),
    /// A further name of a file: the path that stands before it in the layer.
    HardLink(String),
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// A member of the archive.
enum Member {
    Bytes(Vec<u8>),
    /// Older daemons write a layer once and link to it.
    Link(String),
}

impl Image {
    /// Reads the first image of an archive.
    ///
    /// # Errors
    /// What is no such archive.
    pub fn read(archive: &Path) -> Result<Self> {
        let file = std::fs::File::open(archive).with_context(|| format!("opening {}", archive.display()))?;
        let members = members(file)?;
        let manifest: Value = serde_json::from_slice(find(&members, "manifest.json")?)?;
        let image = &manifest[0];
        let config = image["Config"].as_str().context("no config in manifest.json")?;
        let mut layers = Vec::new();
        for name in image["Layers"].as_array().into_iter().flatten() {
            layers.push(entries(find(&members, name.as_str().context("a layer without a name")?)?)?);
        }
        Ok(Self { config: serde_json::from_slice(find(&members, config)?)?, layers })
    }
}

fn members(file: std::fs::File) -> Result<HashMap<String, Member>> {
    let mut members = HashMap::new();
    for entry in tar::Archive::new(file).entries()? {
        let mut entry = entry?;
        let name = text(&entry.path_bytes());
        let member = match entry.link_name_bytes() {
            Some(target) => Member::Link(resolve(&name, &text(&target))),
            None => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                Member::Bytes(bytes)
            }
        };
        members.insert(name, member);
    }
    Ok(members)
}

fn find<'a>(members: &'a HashMap<String, Member>, name: &str) -> Result<&'a [u8]> {
    match members.get(name) {
        Some(Member::Bytes(bytes)) => Ok(bytes),
        Some(Member::Link(target)) => match members.get(target) {
            Some(Member::Bytes(bytes)) => Ok(bytes),
            _ => bail!("{name} is a link to {target}, which the archive does not have"),
        },
        None => bail!("the archive has no {name}"),
    }
}

/// The target of a link `../x/y` of the member `z/name`.
fn resolve(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The entries of a layer; it may be compressed, as that of a base is passed on.
fn entries(layer: &[u8]) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    let reader: Box<dyn Read> = match layer {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(layer)),
        _ => Box::new(layer),
    };
    for entry in tar::Archive::new(reader).entries()? {
        let mut entry = entry?;
        let mut pax = HashMap::new();
        for extension in entry.pax_extensions()?.into_iter().flatten() {
            let extension = extension?;
            pax.insert(text(extension.key_bytes()), extension.value_bytes().to_vec());
        }
        let number = |name: &str| -> Option<i64> { text(pax.get(name)?).split('.').next()?.parse().ok() };
        let header = entry.header().clone();
        let link = entry.link_name_bytes().map(|target| text(&target)).unwrap_or_default();
        let path = text(&entry.path_bytes());
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        let device = || (header.device_major().ok().flatten(), header.device_minor().ok().flatten());
        let (major, minor) = (device().0.unwrap_or(0), device().1.unwrap_or(0));
        found.push(Entry {
            path: path.trim_start_matches("./").trim_matches('/').to_owned(),
            kind: match header.entry_type() {
                EntryType::Directory => Kind::Directory,
                EntryType::Symlink => Kind::Symlink(link),
                EntryType::Link => Kind::HardLink(link.trim_matches('/').to_owned()),
                EntryType::Char => Kind::Character(major, minor),
                EntryType::Block => Kind::Block(major, minor),
                EntryType::Fifo => Kind::Fifo,
                EntryType::Regular | EntryType::Continuous => Kind::File(content),
                other => bail!("{path}: an entry of type {other:?} in a layer"),
            },
            mode: header.mode()? & 0o7777,
            uid: number("uid").map_or_else(|| header.uid(), |uid| Ok(uid as u64))?,
            gid: number("gid").map_or_else(|| header.gid(), |gid| Ok(gid as u64))?,
            mtime: number("mtime").map_or_else(|| header.mtime().map(|time| time as i64), Ok)?,
            capability: pax.get("SCHILY.xattr.security.capability").cloned(),
        });
    }
    Ok(found)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
