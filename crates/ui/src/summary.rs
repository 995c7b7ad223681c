//! The last line of a build: size, digest, and how much smaller the image is than the stage that built it.

use jettison_engine::BuiltImage;

use crate::bytes::for_people;

/// One line, without a line end.
pub fn summary(image: &BuiltImage) -> String {
    let mut line = format!(
        "{} ({} to pull), {}",
        for_people(image.uncompressed_bytes),
        for_people(image.compressed_bytes),
        image.manifest.digest
    );
    // An image without files is infinitely smaller than anything.
    let stage = image.largest_stage.as_ref().filter(|_| image.uncompressed_bytes > 0);
    if let Some((stage, bytes)) = stage {
        let ratio = *bytes as f64 / image.uncompressed_bytes as f64;
        if ratio >= 1.05 {
            let decimals = usize::from(ratio < 9.95);
            line.push_str(&format!(
                ", {ratio:.decimals$} times smaller than {stage} ({})",
                for_people(*bytes)
            ));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use jettison_oci::{Descriptor, Digest, media_type};

    use super::*;

    fn image(uncompressed_bytes: u64, largest_stage: Option<(&str, u64)>) -> BuiltImage {
        BuiltImage {
            manifest: Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(b"m"), 400),
            config: Some(Digest::sha256(b"c")),
            compressed_bytes: 1_900_000,
            uncompressed_bytes,
            largest_stage: largest_stage.map(|(name, bytes)| (name.to_owned(), bytes)),
        }
    }

    #[test]
    fn one_line() {
        insta::assert_snapshot!(summary(&image(6_550_000, Some(("build", 783_000_000)))), @"6.55MB (1.9MB to pull), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a, 120 times smaller than build (783MB)");
        insta::assert_snapshot!(summary(&image(6_550_000, Some(("build", 10_000_000)))), @"6.55MB (1.9MB to pull), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a, 1.5 times smaller than build (10MB)");
        insta::assert_snapshot!(summary(&image(6_550_000, Some(("build", 6_600_000)))), @"6.55MB (1.9MB to pull), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a");
        insta::assert_snapshot!(summary(&image(0, None)), @"0B (1.9MB to pull), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a");
    }
}
