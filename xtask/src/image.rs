//! Numbers about an image in a registry on this machine: what is pulled, and what is in its file system.

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::http;
use crate::registry::Registry;

const MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Bytes of a tar header, and the unit in which contents are padded.
const BLOCK_BYTES: u64 = 512;

/// Bytes that travel when the image is pulled into an empty store: manifest, config and layers.
pub fn bytes_to_pull(registry: &Registry, repository: &str, tag: &str) -> Result<u64> {
    let path = format!("/v2/{repository}/manifests/{tag}");
    let bytes = http::get(registry.port, &path, MANIFESTS)?;
    let manifest: Value = serde_json::from_slice(&bytes).context("a manifest that is not JSON")?;
    let size = |descriptor: &Value| descriptor["size"].as_u64().context("a descriptor without a size");
    let layers = manifest["layers"].as_array().context("a manifest without layers")?;
    let mut sum = bytes.len() as u64 + size(&manifest["config"])?;
    for layer in layers {
        sum += size(layer)?;
    }
    Ok(sum)
}

/// What a file system holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Contents {
    /// Bytes in its regular files; a file with several names counts once.
    pub bytes: u64,
    /// Its regular files.
    pub files: u64,
}

/// Reads a tar stream to its end and counts.
pub fn count_tar(mut tar: impl Read) -> Result<Contents> {
    let mut contents = Contents::default();
    let mut header = [0; BLOCK_BYTES as usize];
    let mut large = None;
    loop {
        match tar.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(contents),
            Err(error) => return Err(error.into()),
        }
        if header.iter().all(|&byte| byte == 0) {
            continue;
        }
        let stated = size_field(&header[124..136])?;
        let size = match header[156] {
            b'x' | b'g' | b'L' | b'K' => stated,
            _ => large.take().unwrap_or(stated),
        };
        if matches!(header[156], b'0' | 0) {
            contents.files += 1;
            contents.bytes += size;
        }
        let padded = size.div_ceil(BLOCK_BYTES) * BLOCK_BYTES;
        let mut body = tar.by_ref().take(padded);
        if header[156] == b'x' {
            let mut records = Vec::new();
            body.read_to_end(&mut records)?;
            large = pax_size(&records);
        } else {
            let skipped = std::io::copy(&mut body, &mut std::io::sink())?;
            ensure!(skipped == padded, "the tar ends within a file");
        }
    }
}

/// The size in a header: octal digits, or big-endian bytes behind a set top bit.
fn size_field(field: &[u8]) -> Result<u64> {
    if field[0] & 0x80 != 0 {
        return Ok(field[4..].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)));
    }
    let digits = std::str::from_utf8(field).unwrap_or("?").trim_matches(['\0', ' ']);
    match u64::from_str_radix(digits, 8) {
        Ok(size) => Ok(size),
        Err(_) => bail!("not a size in a tar header: {digits:?}"),
    }
}

/// The `size` record of a PAX header.
fn pax_size(records: &[u8]) -> Option<u64> {
    String::from_utf8_lossy(records).lines().find_map(|line| line.split_once(" size=")?.1.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn files_and_bytes_of_a_tar_are_counted_once_for_each_file() {
        let scratch = crate::scratch::Scratch::below(&std::env::temp_dir(), "jettison-image-test").unwrap();
        let at = scratch.path();
        std::fs::create_dir(at.join("folder")).unwrap();
        std::fs::write(at.join("folder").join("n".repeat(150)), vec![7; 1000]).unwrap();
        std::fs::write(at.join("empty"), "").unwrap();
        std::fs::hard_link(at.join("empty"), at.join("linked")).unwrap();
        std::os::unix::fs::symlink("empty", at.join("symlink")).unwrap();
        for format in ["pax", "gnu"] {
            let mut tar = Command::new("tar");
            tar.arg("--format").arg(format).args(["-c", "-C"]).arg(at).arg(".");
            let bytes = crate::process::output(&mut tar).unwrap();
            assert_eq!(count_tar(bytes.as_slice()).unwrap(), Contents { bytes: 1000, files: 2 }, "{format}");
        }
    }

    #[test]
    fn large_sizes_are_understood_in_both_notations() {
        assert_eq!(size_field(b"00000001750\0").unwrap(), 1000);
        let mut field = [0; 12];
        field[0] = 0x80;
        field[7] = 2;
        assert_eq!(size_field(&field).unwrap(), 8 << 30);
        assert_eq!(pax_size(b"30 mtime=1.5\n20 size=8589934592\n"), Some(8 << 30));
        assert!(size_field(b"rubbish     ").is_err());
    }

    #[test]
    fn a_tar_that_ends_too_early_is_an_error() {
        let mut block = vec![0; 512];
        block[124..136].copy_from_slice(b"00000001750\0");
        block[156] = b'0';
        assert!(count_tar(block.as_slice()).is_err());
    }
}
