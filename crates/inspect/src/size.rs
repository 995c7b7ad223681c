//! Where the bytes of an image are: by layer, folder and package; what is in it twice, and what later layers hide.
//!
//! One pass over the layers, base first. Sizes are those of files, not of the disk blocks or the compressed blobs that
//! hold them; a hard link counts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use jettison_layer::{self as layer, Kind, Limits};
use jettison_oci::{Digest, Hasher};
use serde::Serialize;

use crate::tree::NodeKind;
use crate::tree::merged::{self, Layer, Merged, node_kind};

/// Smaller files are not compared: finding them twice changes nothing.
const COMPARED_BYTES_MIN: u64 = 4 << 10;
/// Largest database of packages that is read, bytes.
const DATABASE_BYTES_MAX: u64 = 64 << 20;

/// The bytes of one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerUsage {
    /// Files in it.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of them that a later layer overwrites or deletes: they are transferred and never seen.
    pub hidden_bytes: u64,
}

/// A file and its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileUsage {
    /// Its path.
    pub path: String,
    /// Its size, bytes.
    pub bytes: u64,
}

/// The same content under several paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Duplicate {
    /// Where it lies.
    pub paths: Vec<String>,
    /// Bytes of one of them.
    pub bytes: u64,
    /// Bytes that one alone would save.
    pub wasted_bytes: u64,
}

/// Where the bytes are. Lists are sorted, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Each layer, base first.
    pub layers: Vec<LayerUsage>,
    /// Bytes of all files that a container sees.
    pub bytes: u64,
    /// Folders with everything below, two levels deep.
    pub folders: Vec<FileUsage>,
    /// Files.
    pub files: Vec<FileUsage>,
    /// Packages by name, as dpkg or apk know their sizes.
    pub packages: Vec<FileUsage>,
    /// Contents that are there more than once.
    pub duplicates: Vec<Duplicate>,
}

#[derive(Clone, Debug)]
struct Item {
    layer: usize,
    kind: NodeKind,
    /// Zero for further names of a file.
    bytes: u64,
    content: Option<Digest>,
}

impl merged::Item for Item {
    fn kind(&self) -> &NodeKind {
        &self.kind
    }

    fn implied() -> Self {
        Self { layer: 0, kind: NodeKind::Directory, bytes: 0, content: None }
    }

    fn linked(&self) -> Self {
        Self { bytes: 0, content: None, ..self.clone() }
    }
}

/// Counts layers, one after the other.
#[derive(Debug)]
pub struct Counter {
    layers: Vec<LayerUsage>,
    items: Merged<Item>,
    packages: BTreeMap<String, u64>,
}

impl Default for Counter {
    fn default() -> Self {
        Self { layers: Vec::new(), items: Merged::new(), packages: BTreeMap::new() }
    }
}

impl Counter {
    /// Counts the next layer, an uncompressed tar.
    ///
    /// # Errors
    /// If it is damaged or larger than `limits`.
    pub fn add(&mut self, tar: &mut dyn Read, limits: &Limits) -> Result<(), layer::Error> {
        let number = self.layers.len();
        let mut usage = LayerUsage::default();
        let layer = Layer::read(tar, limits, &mut |entry, content| {
            let mut item = Item { layer: number, kind: node_kind(&entry.kind), bytes: 0, content: None };
            if let Kind::File { size } = entry.kind {
                item.bytes = size;
                item.content = self.content(&entry.path, size, content).map_err(layer::Error::Read)?;
                usage.files += 1;
                usage.bytes += size;
            }
            Ok(item)
        })?;
        self.layers.push(usage);
        let layers = &mut self.layers;
        self.items.add(layer, &mut |gone| layers[gone.layer].hidden_bytes += gone.bytes);
        Ok(())
    }

    /// Reads a file: its digest if it is large enough to matter, and the packages if it is a database of them.
    fn content(&mut self, path: &[u8], size: u64, content: &mut dyn Read) -> io::Result<Option<Digest>> {
        let is_database =
            matches!(path, b"var/lib/dpkg/status" | b"lib/apk/db/installed" | b"usr/lib/apk/db/installed")
                || path.starts_with(b"var/lib/dpkg/status.d/");
        if is_database && size <= DATABASE_BYTES_MAX {
            let mut text = Vec::new();
            content.read_to_end(&mut text)?;
            if !path.starts_with(b"var/lib/dpkg/status.d/") {
                self.packages.clear();
            }
            self.packages.extend(packages(&String::from_utf8_lossy(&text)));
            return Ok(None);
        }
        if size < COMPARED_BYTES_MIN {
            return Ok(None);
        }
        let mut hasher = Hasher::sha256();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match content.read(&mut buffer)? {
                0 => return Ok(Some(hasher.finish())),
                n => hasher.update(&buffer[..n]),
            }
        }
    }

    /// What was counted; at most `longest` entries in each list.
    pub fn finish(self, longest: usize) -> Usage {
        let mut folders: BTreeMap<String, u64> = BTreeMap::new();
        let mut files = Vec::new();
        let mut same: BTreeMap<String, (u64, BTreeSet<String>)> = BTreeMap::new();
        for (path, item) in self.items.iter().filter(|(_, item)| item.bytes > 0) {
            let path = format!("/{}", String::from_utf8_lossy(path));
            for (depth, (slash, _)) in path.match_indices('/').skip(1).enumerate() {
                if depth < 2 {
                    *folders.entry(path[..slash].to_owned()).or_default() += item.bytes;
                }
            }
            if let Some(content) = &item.content {
                same.entry(content.to_string())
                    .or_insert_with(|| (item.bytes, BTreeSet::new()))
                    .1
                    .insert(path.clone());
            }
            files.push(FileUsage { path, bytes: item.bytes });
        }
        let duplicates =
            same.into_values().filter(|(_, paths)| paths.len() > 1).map(|(bytes, paths)| Duplicate {
                wasted_bytes: bytes * (paths.len() as u64 - 1),
                paths: paths.into_iter().collect(),
                bytes,
            });
        let mut duplicates: Vec<Duplicate> = duplicates.collect();
        duplicates.sort_by_key(|duplicate| std::cmp::Reverse(duplicate.wasted_bytes));
        duplicates.truncate(longest);
        let list = |map: BTreeMap<String, u64>| {
            map.into_iter().map(|(path, bytes)| FileUsage { path, bytes }).collect()
        };
        Usage {
            bytes: files.iter().map(|file| file.bytes).sum(),
            folders: largest(list(folders), longest),
            files: largest(files, longest),
            packages: largest(list(self.packages), longest),
            layers: self.layers,
            duplicates,
        }
    }
}

fn largest(mut list: Vec<FileUsage>, longest: usize) -> Vec<FileUsage> {
    list.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    list.truncate(longest);
    list
}

/// Names and sizes, bytes: dpkg's paragraphs (KiB) and apk's one-letter fields (bytes).
fn packages(text: &str) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let package = field("Package:").zip(field("Installed-Size:")).map(|(name, size)| (name, size, 1024));
        let package = package.or_else(|| field("P:").zip(field("I:")).map(|(name, size)| (name, size, 1)));
        if let Some((name, size, unit)) = package
            && let Ok(size) = size.parse::<u64>()
        {
            found.insert(name.to_owned(), size.saturating_mul(unit));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_both_kinds() {
        let dpkg = "Package: libc6\nStatus: install ok installed\nInstalled-Size: 10\n\nPackage: x\n\n";
        assert_eq!(packages(dpkg), BTreeMap::from([("libc6".to_owned(), 10_240)]));
        let apk = "C:Q1x\nP:musl\nV:1.2\nI:622592\n\nP:busybox\nI:1\n";
        assert_eq!(packages(apk)["musl"], 622_592);
    }
}
