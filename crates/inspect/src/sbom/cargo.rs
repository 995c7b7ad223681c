//! Rust programs that `cargo auditable` built: the crates in section `.dep-v0`, JSON packed with zlib.
//!
//! Source: rust-secure-code/cargo-auditable, PARSING.md and `auditable-serde`.

use std::io::Read;

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use super::{Ecosystem, Package};
use crate::elf::section;
use crate::tree::Content;

/// Largest section, bytes.
const PACKED_BYTES_MAX: u64 = 8 << 20;
/// Largest text in it, bytes; the limit of rust-audit-info.
const TEXT_BYTES_MAX: u64 = 8 << 20;

#[derive(Debug, Deserialize)]
struct Audit {
    packages: Vec<Crate>,
}

#[derive(Debug, Deserialize)]
struct Crate {
    name: String,
    version: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    kind: String,
}

/// The crates of a program; none if nobody noted them.
pub(super) fn read(content: &dyn Content) -> Result<Vec<Package>, String> {
    match section::read(content, ".dep-v0", PACKED_BYTES_MAX).map_err(|error| error.to_string())? {
        Some(packed) => parse(&packed),
        None => Ok(Vec::new()),
    }
}

fn parse(packed: &[u8]) -> Result<Vec<Package>, String> {
    let damaged =
        |reason: &dyn std::fmt::Display| format!("its list of crates (.dep-v0) is damaged: {reason}");
    let mut text = Vec::new();
    let mut reader = ZlibDecoder::new(packed).take(TEXT_BYTES_MAX + 1);
    reader.read_to_end(&mut text).map_err(|error| damaged(&error))?;
    if text.len() as u64 > TEXT_BYTES_MAX {
        return Err(damaged(&"too large"));
    }
    let audit: Audit = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
    // What only build scripts used is not in the program.
    let shipped = audit.packages.into_iter().filter(|package| package.kind != "build");
    let package = |package: Crate| {
        let mut found = Package::new(Ecosystem::Cargo, &package.name, &package.version);
        found.source =
            Some(package.source).filter(|source| !["", "crates.io", "local"].contains(&source.as_str()));
        found
    };
    Ok(shipped.map(package).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn crates_that_are_in_the_program() {
        let json = r#"{"packages":[{"name":"app","version":"0.1.0","source":"local","root":true,"dependencies":[1]},
            {"name":"serde","version":"1.0.1","source":"crates.io"},{"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"}]}"#;
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(json.as_bytes()).unwrap();
        let packed = packer.finish().unwrap();
        let names: Vec<String> =
            parse(&packed).unwrap().into_iter().map(|p| p.name + "@" + &p.version).collect();
        assert_eq!(names, ["app@0.1.0", "serde@1.0.1"]);
        assert!(parse(&packed[..20]).unwrap_err().contains("damaged"));
    }
}
