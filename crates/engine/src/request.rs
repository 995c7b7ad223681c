//! What a build is asked for, and what it answers. Plain data: the program makes the request from its arguments.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jettison_oci::{Compression, Descriptor, Digest, Platform, Reference};
use jettison_plan as plan;
use jettison_sandbox::{ControlGroups, Limit};

use crate::attest::Attestations;
use crate::candidate::Inspector;
use crate::event::Verdict;
use crate::fetch::Fetched;
use crate::parts::{Chain, LeftBehind, Part};
use crate::source_policy::SourcePolicy;

/// Everything that decides what is built and where it goes.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The Dockerfile.
    pub dockerfile: DockerfileSource,
    /// The folder that COPY and ADD read from.
    pub context: ContextSource,
    /// Files of `--build-context`, by name.
    pub named_contexts: BTreeMap<String, ContextSource>,
    /// Images that lie in the store already, whatever their registry says: those of OCI layouts.
    pub known_images: BTreeMap<Reference, Descriptor>,
    /// What the planner has to know.
    pub plan: plan::Options,
    /// Platforms of the result, if there are several; each is built with `plan.platform` set to it.
    pub platforms: Vec<Platform>,
    /// An index even for one platform.
    pub index: bool,
    /// What RUN may have beyond the ordinary (`--allow`).
    pub allow: Allow,
    /// Keep the files of a RUN that fails (`--on-failure`).
    pub keep_failed: bool,
    /// Size of `/dev/shm` of RUN steps, bytes.
    pub shm_bytes: Option<u64>,
    /// Resource limits of RUN steps, for each process.
    pub limits: Vec<Limit>,
    /// Where the control groups of RUN steps are made, which limit all processes of a step together. No part of any key: a
    /// step that succeeds does the same with less.
    pub control_groups: Option<Arc<ControlGroups>>,
    /// Rules on what may be fetched, and what is fetched instead.
    pub source_policy: Option<Arc<SourcePolicy>>,
    /// One layer instead of one for each step (`--squash`).
    pub squash: bool,
    /// Annotations of the result.
    pub annotations: Vec<Annotation>,
    /// Names for the result.
    pub tags: Vec<Reference>,
    /// Where the result goes besides the store. Empty: the store only.
    pub outputs: Vec<Output>,
    /// Ask the registry what a base's tag means today.
    pub pull: bool,
    /// `--add-host`, in order.
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, Secret>,
    /// Sockets of ssh agents by id (`--ssh`).
    pub agents: BTreeMap<String, PathBuf>,
    /// `SOURCE_DATE_EPOCH`, seconds since 1970; `None`: [`jettison_oci::time::DEFAULT_EPOCH_SECONDS`].
    pub epoch_seconds: Option<i64>,
    /// Threads for hashing and compressing; steps run at the same time: [`BuildRequest::steps_max`].
    pub threads: usize,
    /// Most RUN steps at the same time.
    pub steps_max: usize,
    /// What is attached to the image; the result is an index then.
    pub attestations: Attestations,
    /// Who looks at the image before it is named, written or pushed, and may refuse it.
    pub inspector: Option<Arc<dyn Inspector>>,
}

/// What RUN may have beyond the ordinary. Source: BuildKit `util/entitlements`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// `security.insecure`: `RUN --security=insecure`.
    pub insecure: bool,
    /// `network.host`: `RUN --network=host`.
    pub host_network: bool,
}

/// An annotation. Source: buildx `util/buildflags`, BuildKit `exptypes/annotations.go`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Where it stands.
    pub place: AnnotationPlace,
    /// Of which platform; `None`: of all.
    pub platform: Option<Platform>,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Where an annotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationPlace {
    /// In the manifest.
    Manifest,
    /// In the index.
    Index,
    /// In the descriptor of the manifest, in the index or layout.
    ManifestDescriptor,
    /// In the descriptor of the index, in a layout.
    IndexDescriptor,
}

impl BuildRequest {
    /// All names that the result gets, in order.
    pub(crate) fn names(&self) -> Vec<Reference> {
        let mut names = self.tags.clone();
        for output in &self.outputs {
            if let Output::Image { names: more, by_digest: false, .. } | Output::Archive { names: more, .. } =
                output
            {
                let new: Vec<Reference> = more.iter().filter(|name| !names.contains(name)).cloned().collect();
                names.extend(new);
            }
        }
        names
    }

    /// The annotations of one place, for one platform.
    pub(crate) fn annotations(&self, place: AnnotationPlace, platform: Option<&Platform>) -> Annotations {
        let of_place = self.annotations.iter().filter(|a| a.place == place);
        let wanted = of_place.filter(|a| a.platform.is_none() || a.platform.as_ref() == platform);
        wanted.map(|a| (a.key.clone(), a.value.clone())).collect()
    }
}

pub(crate) type Annotations = BTreeMap<String, String>;

/// The text of the Dockerfile and what to call it.
#[derive(Clone, Debug)]
pub struct DockerfileSource {
    /// As people wrote it, for messages: `Dockerfile`, `docker/app.Dockerfile`, `-`.
    pub name: String,
    /// Where it lies, to find `NAME.dockerignore` beside it; `None` for standard input.
    pub path: Option<PathBuf>,
    /// Its bytes.
    pub text: Vec<u8>,
}

/// The build context.
#[derive(Clone, Debug)]
pub enum ContextSource {
    /// A folder, read where it lies.
    Folder(PathBuf),
    /// What was fetched. Ignore files play no part in it.
    Fetched(Fetched),
    /// No files at all (Dockerfile on standard input).
    Empty,
}

/// Where a secret's value comes from.
#[derive(Clone)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(****)")
    }
}

/// Where the result goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The store, under [`BuildRequest::tags`] and `names`; pushed if `push`.
    Image {
        /// Further names.
        names: Vec<Reference>,
        /// Push each name to its registry.
        push: bool,
        /// Push the digest only, and give no name: neither here nor there.
        by_digest: bool,
        /// A further name here, of a prefix and the digest of the result.
        digest_name: Option<DigestName>,
        /// How layers are compressed.
        compression: LayerCompression,
    },
    /// An OCI image layout, or Docker's archive (a layout with a `manifest.json`).
    Archive {
        /// Which of the two.
        format: ArchiveFormat,
        /// Further names for it, beside those of the request.
        names: Vec<Reference>,
        /// File, folder or standard output.
        destination: Destination,
        /// A tar file (true) or a folder (false).
        tar: bool,
        /// How layers are compressed.
        compression: LayerCompression,
    },
    /// The files of the result as a tar.
    Tar {
        /// File or standard output.
        destination: Destination,
        /// A folder for each platform (`linux_amd64`); `None`: if there are several.
        platform_split: Option<bool>,
    },
    /// The files of the result in a folder.
    Local {
        /// The folder.
        destination: PathBuf,
        /// As for a tar.
        platform_split: Option<bool>,
        /// Remove what is in the folder and not in the result.
        delete: bool,
    },
    /// Build and throw away.
    CacheOnly,
}

/// A name that ends in the digest of what it names: `PREFIX@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestName {
    /// What stands before the digest.
    pub prefix: Reference,
    /// Only if the result has no other name.
    pub only_if_nameless: bool,
}

/// Compression of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerCompression {
    /// The format.
    pub format: Compression,
    /// The level; `None`: the default of the format.
    pub level: Option<i32>,
    /// Docker's media types instead of OCI's.
    pub docker_types: bool,
    /// Layers of the base that are compressed in another way are written anew.
    pub force: bool,
}

impl Default for LayerCompression {
    fn default() -> Self {
        Self { format: Compression::Gzip, level: None, docker_types: false, force: false }
    }
}

/// The two layouts of an image archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// OCI image layout.
    Oci,
    /// OCI image layout plus `manifest.json`, which `docker load` reads.
    Docker,
}

/// Where bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A path.
    Path(PathBuf),
    /// Standard output.
    Stdout,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct BuildOutcome {
    /// The image; `None` if no output asked for one (`local`, `tar`, `cacheonly`).
    pub image: Option<BuiltImage>,
    /// Platforms of the result.
    pub platforms: Vec<Platform>,
    /// Steps that ran.
    pub steps_run: usize,
    /// Steps whose result came from the cache.
    pub steps_cached: usize,
    /// Names that were tagged.
    pub tagged: Vec<Reference>,
    /// Names that were pushed, with the digest there.
    pub pushed: Vec<(Reference, Digest)>,
    /// What the inspector said of the image of each platform.
    pub verdicts: Vec<(Platform, Verdict)>,
}

/// A finished image.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// Its manifest, or the index over those of several platforms.
    pub manifest: Descriptor,
    /// Digest of its config; `None` for an index.
    pub config: Option<Digest>,
    /// Sum of the compressed layers and the config, bytes.
    pub compressed_bytes: u64,
    /// Sum of the uncompressed layers, bytes.
    pub uncompressed_bytes: u64,
    /// The base and the layers that the build made, base first; none for an index.
    pub parts: Vec<Part>,
    /// The steps behind those layers.
    pub chain: Chain,
    /// The stages that are not in it, the largest first, as far as their sizes are known.
    pub left_behind: Vec<LeftBehind>,
    /// The images of an index, and for which platform each is; none for an image.
    pub platforms: Vec<(Platform, BuiltImage)>,
}

impl BuiltImage {
    /// The images of an index; an image itself.
    pub fn images(&self) -> impl Iterator<Item = &Self> {
        let itself = self.platforms.is_empty().then_some(self);
        itself.into_iter().chain(self.platforms.iter().map(|(_, image)| image))
    }
}
