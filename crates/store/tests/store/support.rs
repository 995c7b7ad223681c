//! A store to try things with, and images and snapshots in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use jettison_oci::{Descriptor, Digest, Manifest, Reference, media_type, to_canonical_json};
use jettison_store::{SnapshotId, Store};

/// Set for a copy of this program that plays another process.
pub(crate) const ROLE: &str = "JETTISON_STORE_TEST_ROLE";

pub(crate) const ROOT: &str = "JETTISON_STORE_TEST_ROOT";

/// Never given up.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
}

pub(crate) fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    Place { folder, store }
}

/// Starts this test again as another process with a role.
pub(crate) fn other_process(test: &str, role: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(ROOT, root);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

pub(crate) fn role() -> Option<(String, Store)> {
    let role = std::env::var(ROLE).ok()?;
    let root = std::env::var_os(ROOT).unwrap();
    Some((role, Store::open(Path::new(&root)).unwrap()))
}

pub(crate) fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub(crate) fn snapshot(store: &Store, parent: Option<&SnapshotId>, file: &str, text: &str) -> SnapshotId {
    let draft = store.begin_snapshot(parent).unwrap();
    fs::write(draft.fs().join(file), text).unwrap();
    draft.commit().unwrap()
}

/// An image of one layer, in the store.
pub(crate) fn image(store: &Store, seed: &str) -> (Descriptor, [Digest; 3]) {
    let (layer, layer_size) = store.put_blob(format!("layer {seed}").as_bytes()).unwrap();
    let (config, config_size) = store.put_blob(format!("config {seed}").as_bytes()).unwrap();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.to_owned()),
        config: Descriptor::new(media_type::OCI_CONFIG, config.clone(), config_size),
        layers: vec![Descriptor::new(media_type::OCI_LAYER_GZIP, layer.clone(), layer_size)],
        annotations: BTreeMap::default(),
        extra: BTreeMap::default(),
    };
    let (digest, size) = store.put_blob(&to_canonical_json(&manifest)).unwrap();
    (Descriptor::new(media_type::OCI_MANIFEST, digest.clone(), size), [digest, config, layer])
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}
