//! Who is measured: jettison, BuildKit, buildah, one file each, behind one interface.

mod buildah;
mod buildkit;
mod jettison;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::docker::{Docker, Release};
use crate::jettison::Jettison;
use crate::registry::Registry;
use crate::standin;

/// Our own name among the builders.
pub(super) const JETTISON: &str = "jettison";

/// One build.
pub struct Job<'a> {
    /// Folder with the Dockerfile and what it copies.
    pub context: &'a Path,
    /// Name of the result.
    pub tag: &'a str,
    /// Where the result goes.
    pub end: &'a End,
}

/// Where an image goes.
pub enum End {
    /// The builder's own store.
    Store,
    /// A file for `docker load`, its layers not compressed.
    Archive(PathBuf),
    /// A file with an OCI layout, its layers compressed by gzip.
    Compressed(PathBuf),
    /// The registry that the tag names.
    Push,
}

/// Names of those that jettison can be compared with.
pub const NAMES: [&str; 3] = ["newest", "buildkit", "buildah"];

/// Whom to compare with if nobody says it: the newest BuildKit that can be had, and buildah.
pub fn usual() -> Vec<String> {
    let buildkit = match Docker::is_to_be_had(Release::Newest) {
        Ok(()) => "newest",
        Err(error) => {
            println!("compared with this Debian's BuildKit: {error:#}");
            "buildkit"
        }
    };
    vec![buildkit.to_owned(), "buildah".to_owned()]
}

/// A program that builds images.
pub trait Builder {
    /// For columns of tables.
    fn name(&self) -> &'static str;
    /// Name and version, for the record.
    fn version(&self) -> Result<String>;
    /// Commands that do the job, one after the other; none if it cannot.
    fn commands(&self, job: &Job) -> Vec<Command>;
    /// Processes of it that go on between jobs.
    fn resident(&self) -> Vec<u32> {
        Vec::new()
    }
    /// Forgets all that it has ever built or pulled.
    fn reset(&self) -> Result<()>;
    /// Pulls and unpacks the base, so that builds find it.
    fn pull_base(&self) -> Result<()>;
}

/// The base of the workloads.
pub const BASE: &str = standin::GO.image;

/// jettison, and the named peers, ready to work; `folder` is for what they keep.
pub fn start(
    names: &[String],
    program: &Jettison,
    registry: &Registry,
    folder: &Path,
) -> Result<Vec<Box<dyn Builder>>> {
    let configuration = registries_conf(registry, folder)?;
    let mut builders: Vec<Box<dyn Builder>> =
        vec![Box::new(jettison::Subject::new(program, &configuration, folder))];
    for name in names {
        builders.push(match name.as_str() {
            "buildkit" => {
                Box::new(buildkit::BuildKit::start(Release::Installed, registry, &folder.join(name))?)
            }
            "newest" => Box::new(buildkit::BuildKit::start(Release::Newest, registry, &folder.join(name))?),
            _ => Box::new(buildah::Buildah::start(&configuration, folder)?),
        });
    }
    Ok(builders)
}

/// A `registries.conf` that takes docker.io's images from our registry.
fn registries_conf(registry: &Registry, folder: &Path) -> Result<PathBuf> {
    let file = folder.join("registries.conf");
    let place = registry.reference("").trim_end_matches('/').to_owned();
    let text = format!(
        "unqualified-search-registries = [\"docker.io\"]\n\n[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n\n\
         [[registry.mirror]]\nlocation = \"{place}\"\ninsecure = true\n"
    );
    std::fs::write(&file, text)?;
    Ok(file)
}
