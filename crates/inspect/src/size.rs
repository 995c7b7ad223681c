//! Where the bytes of an image are: by layer, folder and package; what is in it twice, and what later layers hide.
//!
//! One pass over the layers, base first. Sizes are those of files, not of the disk blocks or the compressed blobs that
//! hold them; a hard link counts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::rc::Rc;

use jettison_layer::{self as layer, Kind, Limits};
use jettison_oci::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::sbom;
use crate::tree::NodeKind;
use crate::tree::merged::{self, Layer, Merged, node_kind};

/// Smaller files are not compared: finding them twice changes nothing.
pub(crate) const COMPARED_BYTES_MIN: u64 = 4 << 10;
/// Most databases that cannot be read, of which it is said.
const GAPS_MAX: usize = 100;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileUsage {
    /// Its path.
    pub path: String,
    /// Its size, bytes.
    pub bytes: u64,
}

/// The same content under several paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Packages by name, as dpkg, apk or rpm know their sizes.
    pub packages: Vec<FileUsage>,
    /// Contents that are there more than once.
    pub duplicates: Vec<Duplicate>,
    /// Databases of packages that could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
}

#[derive(Clone, Debug)]
struct Item {
    layer: usize,
    kind: NodeKind,
    /// Zero for further names of a file.
    bytes: u64,
    content: Option<Digest>,
    /// What a database of packages says.
    packages: Option<Rc<Packages>>,
}

/// Names and sizes of packages, or why they cannot be read.
type Packages = Result<Vec<(String, u64)>, String>;

impl merged::Item for Item {
    fn kind(&self) -> &NodeKind {
        &self.kind
    }

    fn implied() -> Self {
        Self { layer: 0, kind: NodeKind::Directory, bytes: 0, content: None, packages: None }
    }

    fn linked(&self) -> Self {
        Self { bytes: 0, content: None, packages: None, ..self.clone() }
    }
}

/// Counts layers, one after the other.
#[derive(Debug)]
pub struct Counter {
    layers: Vec<LayerUsage>,
    items: Merged<Item>,
}

impl Default for Counter {
    fn default() -> Self {
        Self { layers: Vec::new(), items: Merged::new() }
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
            let kind = node_kind(&entry.kind);
            let mut item = Item { layer: number, kind, bytes: 0, content: None, packages: None };
            if let Kind::File { size } = entry.kind {
                item.bytes = size;
                if let Some(found) = sbom::database(&entry.path, size, content) {
                    let sizes = |package: sbom::Package| Some((package.name, package.bytes?));
                    let found = found.map(|list| list.into_iter().filter_map(sizes).collect());
                    item.packages = Some(Rc::new(found));
                } else if size >= COMPARED_BYTES_MIN {
                    item.content = Some(digest(content).map_err(layer::Error::Read)?);
                }
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

    /// What was counted; at most `longest` entries in each list.
    pub fn finish(self, longest: usize) -> Usage {
        let mut folders: BTreeMap<String, u64> = BTreeMap::new();
        let mut files = Vec::new();
        let mut same: BTreeMap<String, (u64, BTreeSet<String>)> = BTreeMap::new();
        let (mut packages, mut gaps): (BTreeMap<String, u64>, _) = (BTreeMap::new(), Vec::new());
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
            match item.packages.as_deref() {
                Some(Ok(list)) => {
                    for (name, bytes) in list {
                        let sum = packages.entry(name.clone()).or_default();
                        *sum = sum.saturating_add(*bytes);
                    }
                }
                Some(Err(reason)) if gaps.len() < GAPS_MAX => gaps.push(format!("{path}: {reason}")),
                _ => {}
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
            packages: largest(list(packages), longest),
            layers: self.layers,
            duplicates,
            gaps,
        }
    }
}

fn largest(mut list: Vec<FileUsage>, longest: usize) -> Vec<FileUsage> {
    list.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    list.truncate(longest);
    list
}

fn digest(content: &mut dyn Read) -> io::Result<Digest> {
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}
