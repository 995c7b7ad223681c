//! The value of `--output`: `type=oci,dest=out.tar`, or just a folder.
//!
//! Source: buildx `util/buildflags/export.go` (CSV record, a bare word is a folder, `-` is a tar on standard output)
//! and BuildKit's exporter options. What is not known is refused by its name.

use std::path::PathBuf;

use jettison_engine::{ArchiveFormat, Destination, DigestName, LayerCompression, Output};
use jettison_oci::{Compression, Reference};

use crate::failure::Failure;

/// What one `--output` says.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) output: Output,
    /// Annotations of the image, as `--annotation` has them.
    pub(crate) annotations: Vec<String>,
    /// The time of what is made, seconds since 1970.
    pub(crate) epoch_seconds: Option<i64>,
    /// Its registries may speak plain http, and certificates are not verified.
    pub(crate) insecure: bool,
    /// Attestations are artifacts of OCI 1.1.
    pub(crate) artifact: bool,
}

impl From<Output> for Parsed {
    fn from(output: Output) -> Self {
        Self { output, annotations: Vec::new(), epoch_seconds: None, insecure: false, artifact: false }
    }
}

/// Reads one `--output` value.
pub(crate) fn parse(text: &str) -> Result<Parsed, Failure> {
    if text == "-" {
        return Ok(Output::Tar { destination: Destination::Stdout, platform_split: None }.into());
    }
    let fields = csv(text)?;
    if !text.contains('=') {
        let destination = PathBuf::from(text);
        return Ok(Output::Local { destination, platform_split: None, delete: false }.into());
    }
    let mut spec = Spec::default();
    for field in &fields {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| usage(text, &format!("{field:?} is not of the form key=value")))?;
        match annotation(key) {
            Some(key) => spec.annotations.push(format!("{key}={value}")),
            None => spec.set(text, &key.to_ascii_lowercase(), value)?,
        }
    }
    let (annotations, epoch_seconds) = (std::mem::take(&mut spec.annotations), spec.epoch_seconds);
    let (insecure, artifact) = (spec.insecure, spec.artifact);
    let output = spec.output(text)?;
    let of_image = matches!(output, Output::Image { .. } | Output::Archive { .. });
    if !of_image && !annotations.is_empty() {
        return Err(usage(text, "only images have annotations"));
    }
    Ok(Parsed { output, annotations, epoch_seconds, insecure, artifact })
}

/// `annotation[-TYPE][[PLATFORM]].KEY` as `[TYPE[PLATFORM]:]KEY`. Source: BuildKit `exptypes/annotations.go`.
fn annotation(key: &str) -> Option<String> {
    let rest = key.strip_prefix("annotation")?;
    // A type and a platform have no dot.
    let (place, name) = rest.split_once('.')?;
    let (kind, platform) = place.split_at(place.find('[').unwrap_or(place.len()));
    let kind = match kind.strip_prefix('-') {
        Some(kind) => kind,
        None if kind.is_empty() => "manifest",
        None => return None,
    };
    Some(format!("{kind}{platform}:{name}"))
}

#[derive(Default)]
struct Spec {
    kind: Option<String>,
    dest: Option<Destination>,
    names: Vec<Reference>,
    /// Whether a name was given with a tag or digest.
    has_tags: bool,
    annotations: Vec<String>,
    push: bool,
    by_digest: bool,
    epoch_seconds: Option<i64>,
    tar: Option<bool>,
    format: Option<Compression>,
    level: Option<i32>,
    platform_split: Option<bool>,
    docker_types: bool,
    force: bool,
    insecure: bool,
    delete: bool,
    digest_prefix: Option<Reference>,
    only_if_nameless: bool,
    artifact: bool,
}

impl Spec {
    fn set(&mut self, text: &str, key: &str, value: &str) -> Result<(), Failure> {
        match key {
            "type" => self.kind = Some(value.to_owned()),
            "dest" if value == "-" => self.dest = Some(Destination::Stdout),
            "dest" => self.dest = Some(Destination::Path(PathBuf::from(value))),
            "name" => {
                for name in value.split(',').filter(|name| !name.is_empty()) {
                    self.has_tags |= name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
                    self.names.push(name.parse().map_err(Failure::usage)?);
                }
            }
            "push-by-digest" => self.by_digest = boolean(text, key, value)?,
            "source-date-epoch" => {
                let seconds = value.parse().map_err(|_| usage(text, "source-date-epoch is not a number"))?;
                self.epoch_seconds = Some(seconds);
            }
            "mode" => {
                self.delete = match value {
                    // Files are copied over what is there.
                    "copy" => false,
                    "delete" => true,
                    _ => return Err(usage(text, "mode must be copy or delete")),
                };
            }
            "force-compression" => self.force = boolean(text, key, value)?,
            "registry.insecure" => self.insecure = boolean(text, key, value)?,
            "dangling-name-prefix" => self.digest_prefix = Some(value.parse().map_err(Failure::usage)?),
            // BuildKit has it with the mistake.
            "danging-name-empty-only" | "dangling-name-empty-only" => {
                self.only_if_nameless = boolean(text, key, value)?;
            }
            "push" => self.push = boolean(text, key, value)?,
            "tar" => self.tar = Some(boolean(text, key, value)?),
            "compression" => {
                self.format = Some(match value {
                    "gzip" => Compression::Gzip,
                    "zstd" => Compression::Zstd,
                    "uncompressed" => Compression::None,
                    other => return Err(usage(text, &format!("compression {other:?} is not supported"))),
                });
            }
            "compression-level" => {
                let level = value.parse().map_err(|_| usage(text, "compression-level is not a number"))?;
                self.level = Some(level);
            }
            "oci-artifact" => self.artifact = boolean(text, key, value)?,
            "platform-split" => self.platform_split = Some(boolean(text, key, value)?),
            "oci-mediatypes" => self.docker_types = !boolean(text, key, value)?,
            // True of everything that we write; there is nothing to switch.
            "store" | "unpack" | "rewrite-timestamp" | "name-canonical" => drop(boolean(text, key, value)?),
            other => return Err(usage(text, &format!("the key {other:?} is not supported"))),
        }
        Ok(())
    }

    fn output(self, text: &str) -> Result<Output, Failure> {
        if self.by_digest && (self.has_tags || self.names.is_empty()) {
            return Err(usage(text, "push-by-digest needs a name without a tag"));
        }
        let compression = self.compression(text)?;
        let kind = self.kind.ok_or_else(|| usage(text, "it has no type"))?;
        let stdout_or = |dest: Option<Destination>| dest.unwrap_or(Destination::Stdout);
        match kind.as_str() {
            "image" | "registry" => {
                let push = self.push || kind == "registry";
                let only_if_nameless = self.only_if_nameless;
                let digest_name = self.digest_prefix.map(|prefix| DigestName { prefix, only_if_nameless });
                Ok(Output::Image {
                    names: self.names,
                    push,
                    by_digest: self.by_digest,
                    digest_name,
                    compression,
                })
            }
            "oci" | "docker" => Ok(Output::Archive {
                format: if kind == "oci" { ArchiveFormat::Oci } else { ArchiveFormat::Docker },
                names: self.names,
                tar: self.tar.unwrap_or(true),
                destination: match (self.dest, self.tar) {
                    (None | Some(Destination::Stdout), Some(false)) => {
                        return Err(usage(text, "tar=false needs dest=FOLDER"));
                    }
                    (dest, _) => stdout_or(dest),
                },
                compression,
            }),
            "tar" => {
                Ok(Output::Tar { destination: stdout_or(self.dest), platform_split: self.platform_split })
            }
            "local" => match self.dest {
                Some(Destination::Path(destination)) => {
                    if self.delete && destination.canonicalize().is_ok_and(|path| path.parent().is_none()) {
                        return Err(usage(text, "mode=delete would empty the file system of this machine"));
                    }
                    Ok(Output::Local {
                        destination,
                        platform_split: self.platform_split,
                        delete: self.delete,
                    })
                }
                _ => Err(usage(text, "type=local needs dest=FOLDER")),
            },
            "cacheonly" => Ok(Output::CacheOnly),
            other => Err(usage(text, &format!("the type {other:?} is not supported"))),
        }
    }

    fn compression(&self, text: &str) -> Result<LayerCompression, Failure> {
        let format = self.format.unwrap_or(Compression::Gzip);
        let levels = match format {
            Compression::None => 0..=0,
            Compression::Gzip => 0..=12,
            Compression::Zstd => 0..=22,
        };
        match self.level {
            Some(level) if !levels.contains(&level) => Err(usage(
                text,
                &format!("compression-level must be from {} to {}", levels.start(), levels.end()),
            )),
            _ if self.docker_types && format == Compression::Zstd => {
                Err(usage(text, "docker's media types know no zstd"))
            }
            level => {
                Ok(LayerCompression { format, level, docker_types: self.docker_types, force: self.force })
            }
        }
    }
}

fn boolean(text: &str, key: &str, value: &str) -> Result<bool, Failure> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" => Ok(true),
        "false" | "0" | "f" => Ok(false),
        _ => Err(usage(text, &format!("{key} must be true or false"))),
    }
}

fn usage(text: &str, reason: &str) -> Failure {
    Failure::usage(format!("--output {text:?}: {reason}"))
}

/// One CSV record: fields are split at commas, a field in double quotes may hold commas and doubled quotes.
pub(crate) fn csv(text: &str) -> Result<Vec<String>, Failure> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = characters.next() {
        match (c, quoted) {
            ('"', false) if field.is_empty() => quoted = true,
            ('"', true) if characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            ('"', true) => quoted = false,
            (',', false) => fields.push(std::mem::take(&mut field)),
            (c, _) => field.push(c),
        }
    }
    if quoted {
        return Err(Failure::usage(format!("{text:?}: a quote is not closed")));
    }
    fields.push(field);
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Output, Failure> {
        super::parse(text).map(|parsed| parsed.output)
    }

    #[test]
    fn annotations_as_the_flag_has_them() {
        let of = |text: &str| super::parse(text).map(|parsed| parsed.annotations);
        let text =
            "type=oci,annotation.a.B=1,annotation-index.c=2,annotation-manifest-descriptor[linux/arm64].d=3";
        assert_eq!(
            of(text).unwrap(),
            ["manifest:a.B=1", "index:c=2", "manifest-descriptor[linux/arm64]:d=3"]
        );
        assert!(of("type=local,dest=x,annotation.a=1").is_err());
        assert!(of("type=oci,annotations.a=1").unwrap_err().to_string().contains("annotations.a"));
    }

    #[test]
    fn forms_that_people_type() {
        assert_eq!(
            parse("out").unwrap(),
            Output::Local { destination: "out".into(), platform_split: None, delete: false }
        );
        assert_eq!(
            parse("-").unwrap(),
            Output::Tar { destination: Destination::Stdout, platform_split: None }
        );
        assert!(matches!(
            parse("type=registry,name=localhost:5000/a").unwrap(),
            Output::Image { push: true, .. }
        ));
        assert!(matches!(
            parse("type=image,\"name=a,b\",push=true").unwrap(),
            Output::Image { push: true, names, .. } if names.len() == 2
        ));
        let docker = parse("type=docker,dest=x.tar,compression=zstd,compression-level=3").unwrap();
        let Output::Archive { format: ArchiveFormat::Docker, tar: true, compression, .. } = docker else {
            panic!()
        };
        assert_eq!(
            compression,
            LayerCompression { format: Compression::Zstd, level: Some(3), docker_types: false, force: false }
        );
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (text, word) in [
            ("type=wim", "wim"),
            ("type=oci,colour=red", "colour"),
            ("type=local", "dest"),
            ("type=oci,compression=estargz", "estargz"),
            ("dest=x", "type"),
            ("type=oci,\"dest=x", "quote"),
            ("type=local,dest=x,mode=move", "copy or delete"),
            ("type=local,dest=/..,mode=delete", "file system of this machine"),
            ("type=image,name=a:1,push-by-digest=true", "without a tag"),
            ("type=image,push-by-digest=true", "without a tag"),
            ("type=oci,source-date-epoch=now", "source-date-epoch"),
            ("type=oci,compression-level=99", "0 to 12"),
        ] {
            let failure = parse(text).unwrap_err();
            assert!(failure.to_string().contains(word), "{text}: {failure}");
        }
    }
}
