//! `--sbom`, `--provenance`, `--attest`: what is attached to the image, off unless asked for.
//!
//! Source: buildx `util/buildflags/attests.go`, BuildKit `docs/attestations`. The engine writes the statements; the list of
//! packages comes from crate `inspect`, here.

use std::sync::Arc;

use jettison_engine::{self as engine, Attestations, Candidate, Lister, Output, Provenance, Slsa};
use jettison_inspect::sbom::{self, Subject};
use jettison_oci::time;
use serde_json::Value;

use crate::args::Build;
use crate::failure::Failure;
use crate::proof;

/// What the flags ask for.
pub(crate) fn wanted(args: &Build, outputs: &[Output]) -> Result<Attestations, Failure> {
    let mut wanted = Attestations::default();
    for text in &args.attests {
        let fields = fields("--attest", text)?;
        let of = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let rest: Vec<(String, String)> = fields.iter().filter(|(key, _)| key != "type").cloned().collect();
        match of("type") {
            Some("sbom") => add_sbom(&mut wanted, "--attest", &rest)?,
            Some("provenance") => add_provenance(&mut wanted, "--attest", &rest)?,
            Some(other) => {
                return Err(Failure::usage(format!("--attest: unknown type {other:?}"))
                    .hint("there are type=sbom and type=provenance"));
            }
            None => return Err(Failure::usage(format!("--attest {text:?}: type= is missing"))),
        }
    }
    // The short forms win over the long one, as in buildx.
    if let Some(text) = &args.sbom {
        add_sbom(&mut wanted, "--sbom", &fields("--sbom", text)?)?;
    }
    if let Some(text) = &args.provenance {
        add_provenance(&mut wanted, "--provenance", &fields("--provenance", text)?)?;
    }
    let has_image = outputs.is_empty()
        || outputs.iter().any(|output| matches!(output, Output::Image { .. } | Output::Archive { .. }));
    if wanted.wanted() && !has_image {
        return Err(Failure::usage("attestations are attached to an image, and no output is one")
            .hint("add -o type=oci,dest=FILE or --push; `jettison sbom` lists the packages of an image"));
    }
    Ok(wanted)
}

/// `true`, `false`, or `NAME=VALUE` with commas.
fn fields(flag: &str, text: &str) -> Result<Vec<(String, String)>, Failure> {
    let field = |part: &str| match part.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned())),
        None => match boolean(part) {
            Some(on) => Ok(("disabled".to_owned(), (!on).to_string())),
            None => Err(Failure::usage(format!("{flag}: {part:?} is no NAME=VALUE"))),
        },
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(field).collect()
}

/// As Go's strconv.ParseBool.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn truth(flag: &str, name: &str, value: &str) -> Result<bool, Failure> {
    boolean(value)
        .ok_or_else(|| Failure::usage(format!("{flag}: {name}={value:?} is neither true nor false")))
}

fn add_sbom(wanted: &mut Attestations, flag: &str, fields: &[(String, String)]) -> Result<(), Failure> {
    wanted.sbom = Some(Arc::new(Packages));
    for (name, value) in fields {
        match name.as_str() {
            "disabled" if truth(flag, name, value)? => wanted.sbom = None,
            "disabled" => {}
            "generator" => {
                return Err(Failure::usage(format!("{flag}: generator={value}: no image is run for this"))
                    .hint("jettison lists packages itself; leave generator= away"));
            }
            other => return Err(Failure::usage(format!("{flag}: unknown field {other:?} of an SBOM"))),
        }
    }
    Ok(())
}

fn add_provenance(wanted: &mut Attestations, flag: &str, fields: &[(String, String)]) -> Result<(), Failure> {
    let mut provenance =
        Provenance { max: true, version: Slsa::V1, builder_id: String::new(), reproducible: false };
    let mut disabled = false;
    for (name, value) in fields {
        match (name.as_str(), value.as_str()) {
            ("disabled", _) => disabled = truth(flag, name, value)?,
            ("mode", "max") => provenance.max = true,
            ("mode", "min") => provenance.max = false,
            ("version", "v1") => provenance.version = Slsa::V1,
            ("version", "v0.2") => provenance.version = Slsa::V02,
            ("builder-id", _) => provenance.builder_id.clone_from(value),
            ("reproducible", _) => provenance.reproducible = truth(flag, name, value)?,
            // Statements are always in the image, which is what this asks for.
            ("inline-only", _) => _ = truth(flag, name, value)?,
            ("mode", _) => {
                return Err(Failure::usage(format!("{flag}: mode={value}: there are min and max")));
            }
            ("version", _) => {
                return Err(Failure::usage(format!("{flag}: version={value}: there are v0.2 and v1")));
            }
            _ => return Err(Failure::usage(format!("{flag}: unknown field {name:?} of a provenance"))),
        }
    }
    wanted.provenance = (!disabled).then_some(provenance);
    Ok(())
}

/// The packages of an image, by crate `inspect`.
#[derive(Debug)]
struct Packages;

impl Lister for Packages {
    fn spdx(&self, candidate: &Candidate<'_>) -> Result<Value, engine::Error> {
        let tree = proof::tree(candidate.store(), candidate.files()?)?;
        let inventory =
            sbom::inventory(&*tree).map_err(|error| engine::Error::Inspection(error.to_string()))?;
        let names = candidate.names();
        let created = candidate.config().created.clone();
        let subject = Subject {
            name: &names.first().map_or_else(|| "image".to_owned(), jettison_oci::Reference::familiar),
            digest: &candidate.digest().to_string(),
            created: &created.unwrap_or_else(|| time::rfc3339(time::DEFAULT_EPOCH_SECONDS)),
            tool_version: env!("CARGO_PKG_VERSION"),
        };
        Ok(sbom::spdx(&inventory, &subject))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn provenance(text: &str) -> Result<Option<Provenance>, String> {
        let mut wanted = Attestations::default();
        let fields = fields("--provenance", text).map_err(|failure| failure.to_string())?;
        add_provenance(&mut wanted, "--provenance", &fields).map_err(|failure| failure.to_string())?;
        Ok(wanted.provenance)
    }

    #[test]
    fn fields_of_provenances() {
        assert!(provenance("true").unwrap().unwrap().max);
        assert_eq!(provenance("false").unwrap(), None);
        let min = provenance("mode=min,version=v0.2,builder-id=https://ci.example/1").unwrap().unwrap();
        assert_eq!(
            (min.max, min.version, min.builder_id.as_str()),
            (false, Slsa::V02, "https://ci.example/1")
        );
        for (text, why) in [
            ("maybe", "no NAME=VALUE"),
            ("mode=all", "min and max"),
            ("version=v2", "v0.2 and v1"),
            ("reproducible=x", "neither true nor false"),
            ("size=1", "unknown field"),
        ] {
            assert!(provenance(text).unwrap_err().contains(why), "{text}");
        }
    }
}
