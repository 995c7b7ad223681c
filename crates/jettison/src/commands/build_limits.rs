//! Values of build flags that say what steps may do and what is written beside the result: `--allow`, `--ulimit`,
//! `--shm-size`, `--annotation`. Pure.

use jettison_engine::{Allow, Annotation, AnnotationPlace};
use jettison_oci::Platform;
use jettison_sandbox::{Limit, is_limit};

use crate::failure::Failure;

/// What `--allow` calls outputs that remove files of this machine.
pub(super) const LOCAL_DELETE: &str = "buildx.local.delete";

/// Source: BuildKit `util/entitlements/entitlements.go`.
pub(super) fn allow(values: &[String]) -> Result<Allow, Failure> {
    let mut allow = Allow::default();
    for value in values {
        match value.as_str() {
            "security.insecure" => allow.insecure = true,
            "network.host" => allow.host_network = true,
            // `flags::check_outputs` looks for it.
            LOCAL_DELETE => {}
            other => {
                return Err(Failure::usage(format!("--allow {other}: this is not supported"))
                    .hint("it is security.insecure, network.host or buildx.local.delete"));
            }
        }
    }
    Ok(allow)
}

/// `NAME=SOFT[:HARD]`; -1 is no limit. Source: docker/go-units `ulimit.go`.
pub(super) fn ulimits(values: &[String]) -> Result<Vec<Limit>, Failure> {
    values
        .iter()
        .map(|text| {
            let invalid = |reason: &str| Failure::usage(format!("--ulimit {text:?}: {reason}"));
            let (name, value) = text.split_once('=').ok_or_else(|| invalid("expected NAME=SOFT[:HARD]"))?;
            if !is_limit(name) {
                return Err(invalid(&format!("there is no limit {name:?}")));
            }
            let number = |text: &str| match text.parse::<i64>() {
                Ok(-1) => Ok(None),
                Ok(number) if number >= 0 => Ok(Some(number.unsigned_abs())),
                _ => Err(invalid("limits are numbers, or -1 for none")),
            };
            let (soft, hard) = value.split_once(':').unwrap_or((value, value));
            let (soft, hard) = (number(soft)?, number(hard)?);
            if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
                return Err(invalid("the soft limit is above the hard one"));
            }
            Ok(Limit { name: name.to_owned(), soft, hard })
        })
        .collect()
}

pub(super) fn shm_size(text: &str) -> Result<u64, Failure> {
    let invalid = || Failure::usage(format!("--shm-size {text:?}: expected a size, such as 128m"));
    ram_in_bytes(text).filter(|bytes| *bytes > 0).ok_or_else(invalid)
}

/// Bytes, or with a suffix: `b`, `k`, `m`, `g`, `t`, each also with `b` or `ib` (powers of 1024); `1.5g` too. Source:
/// docker/go-units `size.go` (RAMInBytes).
pub(crate) fn ram_in_bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, suffix) = lower.split_at(end);
    let shift = match suffix.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let unit = 1_u64 << shift;
    let part: f64 = format!("0.{part}").parse().ok()?;
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "below 2^40"
    )]
    let part = (part * unit as f64) as u64;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part)
}

/// `[TYPE[,TYPE…][[PLATFORM]]:]KEY=VALUE`. Source: buildx `util/buildflags/export.go` (ParseAnnotations).
pub(super) fn annotations(values: &[String], has_index: bool) -> Result<Vec<Annotation>, Failure> {
    let mut annotations = Vec::new();
    for text in values {
        let invalid = |reason: &str| Failure::usage(format!("--annotation {text:?}: {reason}"));
        let (left, value) = text.split_once('=').ok_or_else(|| invalid("expected [TYPE:]KEY=VALUE"))?;
        let (types, key) = left.split_once(':').unwrap_or(("manifest", left));
        if key.is_empty() {
            return Err(invalid("the key is empty"));
        }
        for word in types.split(',') {
            let (word, platform) = match word.split_once('[') {
                None => (word, None),
                Some((word, rest)) => {
                    let platform =
                        rest.strip_suffix(']').ok_or_else(|| invalid("a bracket is not closed"))?;
                    (word, Some(platform.parse::<Platform>().map_err(Failure::usage)?))
                }
            };
            let place = match word {
                "manifest" => AnnotationPlace::Manifest,
                "index" => AnnotationPlace::Index,
                "manifest-descriptor" => AnnotationPlace::ManifestDescriptor,
                "index-descriptor" => AnnotationPlace::IndexDescriptor,
                other => return Err(invalid(&format!("the type {other:?} is not known"))),
            };
            let of_index = matches!(place, AnnotationPlace::Index | AnnotationPlace::IndexDescriptor);
            if of_index && !has_index {
                return Err(invalid("there is no index: only several platforms have one"));
            }
            if of_index && platform.is_some() {
                return Err(invalid("an index is of no single platform"));
            }
            annotations.push(Annotation { place, platform, key: key.to_owned(), value: value.to_owned() });
        }
    }
    Ok(annotations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_sizes() {
        let of = |text: &str| ulimits(&[text.to_owned()]).map(|l| (l[0].soft, l[0].hard));
        assert_eq!(of("nofile=10").unwrap(), (Some(10), Some(10)));
        assert_eq!(of("nofile=10:20").unwrap(), (Some(10), Some(20)));
        assert_eq!(of("core=-1").unwrap(), (None, None));
        for text in ["nofile", "x=1", "nofile=20:10", "nofile=-2", "nofile=-1:5"] {
            assert!(of(text).is_err(), "{text}");
        }
        assert_eq!(shm_size("128m").unwrap(), 128 << 20);
        assert_eq!(shm_size("1GB").unwrap(), 1 << 30);
        assert_eq!(shm_size("4096").unwrap(), 4096);
        assert_eq!(shm_size("1.5 GiB").unwrap(), 3 << 29);
        for text in ["", "m", "1x", "0", "99999999999g", "1.2.3m", "1.m.", "-1m"] {
            assert!(shm_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn annotations_of_every_place() {
        let of = |text: &str, index| annotations(&[text.to_owned()], index);
        let one = of("a.b=c=d", false).unwrap();
        assert_eq!((one[0].place, one[0].value.as_str()), (AnnotationPlace::Manifest, "c=d"));
        assert_eq!(of("index,manifest:a=b", true).unwrap().len(), 2);
        let arm = of("manifest[linux/arm64]:a=b", true).unwrap();
        assert_eq!(arm[0].platform, Some(Platform::new("linux", "arm64", None)));
        for text in ["index:a=b", "x:a=b", "manifest:=b", "a", "manifest[linux/arm64:a=b"] {
            assert!(of(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn entitlements() {
        assert!(allow(&["security.insecure".to_owned()]).unwrap().insecure);
        assert!(allow(&["device".to_owned()]).is_err());
    }
}
