//! Config and manifest of the result: the plan's config, the layers that were made, the times that were asked for.
//!
//! Pure. Source: OCI image spec `config.md` and `manifest.md`; BuildKit `exporter/containerimage/writer.go` for what
//! goes into the history.

use jettison_oci::{
    Compression, Descriptor, Digest, History, ImageConfig, Index, Manifest, Platform, RootFs, media_type,
    time, to_canonical_json,
};
use jettison_plan as plan;

use crate::request::Annotations;

/// A layer of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) diff_id: Digest,
    pub(crate) descriptor: Descriptor,
}

/// The two documents of an image, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Documents {
    pub(crate) parsed_config: ImageConfig,
    pub(crate) config: Vec<u8>,
    pub(crate) config_descriptor: Descriptor,
    pub(crate) manifest: Vec<u8>,
    pub(crate) manifest_descriptor: Descriptor,
}

/// What BuildKit writes as the comment of the history entries that it makes; readers of histories look for it.
const HISTORY_COMMENT: &str = "buildkit.dockerfile.v0";

/// Puts the documents together. `base` are the layers of the base image, `new` those of the plan's steps in order, or
/// all of them as one if `squashed` says how its history entry reads. `docker_types`: with Docker's media types.
pub(crate) fn assemble(
    stage: &plan::Stage,
    base: &[Layer],
    new: &[Layer],
    epoch_seconds: i64,
    docker_types: bool,
    annotations: Annotations,
    squashed: Option<String>,
) -> Documents {
    let typed = |oci: &'static str, docker: &'static str| if docker_types { docker } else { oci };
    let manifest_type = typed(media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST);
    let config_type = typed(media_type::OCI_CONFIG, media_type::DOCKER_CONFIG);
    let created = time::rfc3339(epoch_seconds);
    let mut config: ImageConfig = stage.config.clone();
    config.created = Some(created.clone());
    config.rootfs = RootFs {
        diff_ids: base.iter().chain(new).map(|layer| layer.diff_id.clone()).collect(),
        ..RootFs::default()
    };
    config.history.extend(stage.history.iter().map(|entry| History {
        created: Some(created.clone()),
        created_by: Some(entry.created_by.clone()),
        comment: Some(HISTORY_COMMENT.to_owned()),
        empty_layer: entry.step.is_none() || squashed.is_some(),
        ..History::default()
    }));
    config.history.extend(squashed.map(|comment| History {
        created: Some(created.clone()),
        comment: Some(comment),
        ..History::default()
    }));
    let parsed_config = config;
    let config = to_canonical_json(&parsed_config);
    let config_descriptor = Descriptor::new(config_type, Digest::sha256(&config), config.len() as u64);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(manifest_type.to_owned()),
        config: config_descriptor.clone(),
        layers: base.iter().chain(new).map(|layer| with_types(&layer.descriptor, docker_types)).collect(),
        annotations,
        extra: std::collections::BTreeMap::new(),
    };
    let manifest = to_canonical_json(&manifest);
    let manifest_descriptor =
        Descriptor::new(manifest_type, Digest::sha256(&manifest), manifest.len() as u64);
    Documents { parsed_config, config, config_descriptor, manifest, manifest_descriptor }
}

/// What the history says of the layer that stands for all steps. Source: moby `daemon/images` (SquashImage); docker names
/// the image that was squashed, which nobody makes here.
pub(crate) fn squash_comment(steps: usize, base: Option<&Digest>) -> String {
    let steps = if steps == 1 { "1 layer".to_owned() } else { format!("{steps} layers") };
    match base {
        Some(base) => format!("merge {steps} to {base}"),
        None => format!("create new from {steps}"),
    }
}

/// The index over images, each with its platform, and over what is attached to them.
pub(crate) fn index(
    manifests: &[&Descriptor],
    platforms: &[Platform],
    attached: &[Descriptor],
    docker_types: bool,
    annotations: Annotations,
) -> (Vec<u8>, Descriptor) {
    let media_type = if docker_types { media_type::DOCKER_INDEX } else { media_type::OCI_INDEX };
    let entries = manifests.iter().zip(platforms).map(|(descriptor, platform)| Descriptor {
        platform: Some(platform.clone()),
        ..(*descriptor).clone()
    });
    let index = Index {
        schema_version: 2,
        media_type: Some(media_type.to_owned()),
        manifests: entries.chain(attached.iter().cloned()).collect(),
        annotations,
        extra: std::collections::BTreeMap::new(),
    };
    let bytes = to_canonical_json(&index);
    let descriptor = Descriptor::new(media_type, Digest::sha256(&bytes), bytes.len() as u64);
    (bytes, descriptor)
}

/// Layers of an image that exists.
pub(crate) fn layers(manifest: &Manifest, config: &ImageConfig) -> Vec<Layer> {
    let pairs = manifest.layers.iter().zip(&config.rootfs.diff_ids);
    let layer = |(descriptor, diff_id): (&Descriptor, &Digest)| Layer {
        diff_id: diff_id.clone(),
        descriptor: descriptor.clone(),
    };
    pairs.map(layer).collect()
}

/// A layer under the media type of the family: the result is of one family whatever its base was, and the bytes are the
/// same under both names. zstd has no name in Docker's.
fn with_types(descriptor: &Descriptor, docker_types: bool) -> Descriptor {
    let mut descriptor = descriptor.clone();
    let is_docker = descriptor.media_type.starts_with("application/vnd.docker.");
    if let Some(compression) = media_type::layer_compression(&descriptor.media_type)
        && is_docker != docker_types
    {
        descriptor.media_type = match (docker_types, compression.docker_layer()) {
            (false, _) => oci_name(compression, &descriptor.media_type),
            (true, Some(name)) => name.to_owned(),
            (true, None) => return descriptor,
        };
    }
    descriptor
}

fn oci_name(compression: Compression, docker_name: &str) -> String {
    let name = compression.oci_layer();
    if docker_name.contains(".foreign.") {
        name.replace(".layer.", ".layer.nondistributable.")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jettison_dockerfile::Span;

    #[test]
    fn documents_name_each_other_and_depend_on_nothing_else() {
        let stage = plan::Stage {
            index: 0,
            name: None,
            span: Span::default(),
            base: plan::Fs::Scratch,
            result: plan::Fs::Step(0),
            steps: vec![0],
            config: ImageConfig {
                architecture: "amd64".into(),
                os: "linux".into(),
                ..ImageConfig::default()
            },
            history: vec![
                plan::HistoryEntry { created_by: "COPY a /a # buildkit".into(), step: Some(0) },
                plan::HistoryEntry { created_by: "CMD [\"/a\"]".into(), step: None },
            ],
            places: plan::Places::default(),
        };
        let layer = Layer {
            diff_id: Digest::sha256(b"tar"),
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, Digest::sha256(b"gz"), 2),
        };
        let documents = assemble(&stage, &[], &[layer], 315_532_800, false, Annotations::new(), None);
        assert_eq!(documents.config_descriptor.digest, Digest::sha256(&documents.config));
        insta::assert_snapshot!(String::from_utf8(documents.config).unwrap(), @r#"{"architecture":"amd64","config":{},"created":"1980-01-01T00:00:00Z","history":[{"comment":"buildkit.dockerfile.v0","created":"1980-01-01T00:00:00Z","created_by":"COPY a /a # buildkit"},{"comment":"buildkit.dockerfile.v0","created":"1980-01-01T00:00:00Z","created_by":"CMD [\"/a\"]","empty_layer":true}],"os":"linux","rootfs":{"diff_ids":["sha256:90aebae315675cbf04612de4f7d5874850f48e0b8dd82becbeaa47ca93f5ebfb"],"type":"layers"}}"#);
    }
}
