//! Attestations: statements about an image, attached to it in an index as BuildKit does.
//!
//! Each image gets one manifest of platform `unknown/unknown` whose layers are in-toto statements. Source: BuildKit
//! `docs/attestations/attestation-storage.md` and `exporter/containerimage/writer.go` (commitAttestationsManifest).
//! `provenance.rs` says how it was built; who lists packages stands beside the engine (crate `inspect`) and is handed in.

mod provenance;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use jettison_oci::{
    Descriptor, Digest, ImageConfig, Manifest, Platform, Reference, RootFs, media_type, time,
    to_canonical_json,
};
use jettison_plan::remote::{Git, Remote};
use serde_json::{Value, json};

use crate::assemble::Documents;
use crate::build::Build;
use crate::candidate::Candidate;
use crate::error::Error;
use crate::remote::Resolved;
use crate::tasks::Done;

const STATEMENT: &str = "https://in-toto.io/Statement/v0.1";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
const SPDX: &str = "https://spdx.dev/Document";
const ARTIFACT_TYPE: &str = "application/vnd.docker.attestation.manifest.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The content of an empty descriptor, and in base64.
const EMPTY: (&[u8], &str) = (b"{}", "e30=");
/// What BuildKit calls an image without a name.
const UNNAMED: &str = "_";

/// What is attached to the image.
#[derive(Clone, Debug, Default)]
pub struct Attestations {
    /// How it was built.
    pub provenance: Option<Provenance>,
    /// What packages it holds.
    pub sbom: Option<Arc<dyn Lister>>,
    /// Whether the manifest that holds them is an artifact of OCI 1.1, which names the image as its subject.
    pub artifact: bool,
}

/// Lists packages.
pub trait Lister: Debug + Send + Sync {
    /// The SPDX document of an image.
    fn spdx(&self, candidate: &Candidate<'_>) -> Result<Value, Error>;
}

/// What a provenance says. Source: BuildKit `docs/attestations/slsa-provenance.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Everything: build arguments, ids of secrets, the Dockerfile. Else the least.
    pub max: bool,
    /// Version of SLSA.
    pub version: Slsa,
    /// Who built it, as a URI; may be empty.
    pub builder_id: String,
    /// Whether the user says that the build can be repeated with the same result.
    pub reproducible: bool,
}

/// Version of SLSA's predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slsa {
    /// 0.2
    V02,
    /// 1.0
    V1,
}

impl Attestations {
    /// Whether there is anything to attach.
    pub fn wanted(&self) -> bool {
        self.provenance.is_some() || self.sbom.is_some()
    }
}

/// Ids of what may help to fetch something. BuildKit tells of them whether or not they are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Means {
    secrets: &'static [&'static str],
    agents: &'static [&'static str],
}

impl Means {
    /// Source: BuildKit `client/llb/source.go` (Git).
    fn of(git: &Git) -> Self {
        let agents: &[&str] = if git.is_ssh() { &["default"] } else { &[] };
        Self { secrets: &["GIT_AUTH_HEADER", "GIT_AUTH_TOKEN"], agents }
    }
}

/// Something that the build was made from: where it is, and what it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Material {
    pub(crate) uri: String,
    /// What was asked for: of a repository also the folder.
    asked: String,
    /// What fetching it may have used: ids of secrets, and of an agent.
    means: Means,
    /// `sha256`, or `sha1` for commits.
    algorithm: &'static str,
    hex: String,
}

impl Material {
    /// What a URL or a repository was found to hold; without credentials.
    pub(crate) fn of_remote(remote: &Remote, resolved: &Resolved) -> Self {
        let (algorithm, hex) = match resolved {
            Resolved::File { body, .. } => ("sha256", body.hex()),
            Resolved::Commit(commit) if commit.len() == 64 => ("sha256", commit.clone()),
            Resolved::Commit(commit) => ("sha1", commit.clone()),
        };
        let (uri, means) = match remote {
            // BuildKit names the repository, whatever part of it is used.
            Remote::Git(git) => (Git { subdir: None, ..git.clone() }.shown(), Means::of(git)),
            Remote::Http(_) => (remote.shown(), Means::default()),
        };
        Self { uri, asked: remote.shown(), means, algorithm, hex }
    }

    /// A file that was fetched.
    pub(crate) fn of_file(remote: &Remote, body: &Digest) -> Self {
        let (uri, means) = (remote.shown(), Means::default());
        Self { asked: uri.clone(), uri, means, algorithm: "sha256", hex: body.hex() }
    }

    fn of_image(reference: &Reference, platform: &Platform, digest: &Digest) -> Self {
        let (uri, means) = (purl(reference, platform), Means::default());
        Self { asked: uri.clone(), uri, means, algorithm: "sha256", hex: digest.hex() }
    }

    fn digest(&self) -> Value {
        json!({ self.algorithm: self.hex })
    }

    fn json(&self) -> Value {
        json!({"uri": self.uri, "digest": self.digest()})
    }
}

impl Build<'_> {
    /// Writes the statements about an image, and the manifest that holds them, into the store.
    pub(crate) fn attest(&self, documents: &Documents) -> Result<Option<(Descriptor, Manifest)>, Error> {
        let wanted = &self.request.attestations;
        if !wanted.wanted() {
            return Ok(None);
        }
        let task = self.tasks.add("attesting image".to_owned());
        self.tasks.run(task, || {
            let mut statements = Vec::new();
            if let Some(lister) = &wanted.sbom {
                statements.push((SPDX, lister.spdx(&Candidate::new(self, documents))?));
            }
            if let Some(provenance) = &wanted.provenance {
                statements.push(self.provenance(provenance));
            }
            let subjects = self.subjects(&documents.manifest_descriptor.digest);
            let mut layers = Vec::new();
            for (predicate_type, predicate) in statements {
                let statement = to_canonical_json(&json!({
                    "_type": STATEMENT,
                    "predicateType": predicate_type,
                    "subject": subjects,
                    "predicate": predicate,
                }));
                let (digest, size) = self.images.store.put_blob(&statement)?;
                let mut layer = Descriptor::new(IN_TOTO, digest, size);
                layer.annotations.insert(PREDICATE_TYPE.to_owned(), predicate_type.to_owned());
                layers.push(layer);
            }
            let attached = self.attached(layers, &documents.manifest_descriptor)?;
            Ok((Some(attached), Done::Ran))
        })
    }

    /// What the statements are about: the image under each of its names.
    fn subjects(&self, manifest: &Digest) -> Value {
        let mut names: Vec<String> =
            self.request.names().iter().map(|name| purl(name, &self.plan.platform)).collect();
        if names.is_empty() {
            names.push(UNNAMED.to_owned());
        }
        names.iter().map(|name| json!({"name": name, "digest": {"sha256": manifest.hex()}})).collect()
    }

    /// The manifest over the statements, with the descriptor that says whom it belongs to.
    fn attached(&self, layers: Vec<Descriptor>, image: &Descriptor) -> Result<(Descriptor, Manifest), Error> {
        let store = self.images.store;
        let (config, extra) = if self.request.attestations.artifact {
            let (digest, size) = store.put_blob(EMPTY.0)?;
            let mut config = Descriptor::new(EMPTY_TYPE, digest, size);
            config.extra.insert("data".to_owned(), json!(EMPTY.1));
            let subject = Descriptor { platform: Some(self.plan.platform.clone()), ..image.clone() };
            let extra =
                [("artifactType".to_owned(), json!(ARTIFACT_TYPE)), ("subject".to_owned(), json!(subject))];
            (config, BTreeMap::from(extra))
        } else {
            (self.placeholder_config(&layers)?, BTreeMap::new())
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            config,
            layers,
            annotations: BTreeMap::new(),
            extra,
        };
        let bytes = to_canonical_json(&manifest);
        let (digest, size) = store.put_blob(&bytes)?;
        let mut descriptor = Descriptor::new(media_type::OCI_MANIFEST, digest, size);
        descriptor.platform = Some(Platform::new("unknown", "unknown", None));
        descriptor.annotations = BTreeMap::from([
            ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned()),
            ("vnd.docker.reference.digest".to_owned(), image.digest.to_string()),
        ]);
        Ok((descriptor, manifest))
    }

    /// The config of an image that nobody starts, for registries that take nothing else.
    fn placeholder_config(&self, layers: &[Descriptor]) -> Result<Descriptor, Error> {
        let config = ImageConfig {
            architecture: "unknown".to_owned(),
            os: "unknown".to_owned(),
            created: Some(time::rfc3339(self.epoch)),
            rootfs: RootFs {
                diff_ids: layers.iter().map(|layer| layer.digest.clone()).collect(),
                ..RootFs::default()
            },
            ..ImageConfig::default()
        };
        let (digest, size) = self.images.store.put_blob(&to_canonical_json(&config))?;
        Ok(Descriptor::new(media_type::OCI_CONFIG, digest, size))
    }
}

/// The package URL of an image. Source: BuildKit `util/purl/image.go`, RefToPURL.
fn purl(reference: &Reference, platform: &Platform) -> String {
    let familiar = reference.familiar();
    let name = familiar.split('@').next().unwrap_or(&familiar);
    let slash = name.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match name[slash..].find(':') {
        Some(colon) => (&name[..slash + colon], &name[slash + colon + 1..]),
        None => (name, reference.tag().unwrap_or(if reference.digest().is_some() { "" } else { "latest" })),
    };
    let tag = if tag.is_empty() { String::new() } else { format!("@{tag}") };
    let digest = reference.digest().map_or(String::new(), |digest| format!("digest={digest}&"));
    format!("pkg:docker/{name}{tag}?{digest}platform={}", platform.to_string().replace('/', "%2F"))
}
