//! What must hold for any bytes given to a parser of `jettison-oci`. Used by the fuzz target, and by the test that
//! replays the corpus on the stable compiler.

use jettison_oci::{AnyManifest, ImageConfig, Platform, Reference, media_type, to_canonical_json};

/// An image reference (and a platform): what is shown means the same again.
pub(crate) fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse::<Reference>().as_ref(), Ok(&reference), "{text}");
        assert_eq!(reference.familiar().parse::<Reference>().as_ref(), Ok(&reference), "{text}");
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert!(platform.satisfies(&platform));
    }
}

/// A manifest or index; the bytes before the first zero byte are the media type. What was understood is understood again.
pub(crate) fn manifest(bytes: &[u8]) {
    let (media_type, document) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (String::from_utf8_lossy(&bytes[..at]).into_owned(), &bytes[at + 1..]),
        None => (String::new(), bytes),
    };
    if let Ok(config) = serde_json::from_slice::<ImageConfig>(document) {
        let again = to_canonical_json(&config);
        assert_eq!(serde_json::from_slice::<ImageConfig>(&again).ok(), Some(config));
    }
    match AnyManifest::parse(&media_type, document) {
        Ok(AnyManifest::Image(image)) => {
            let _ = image.packed_bytes();
            let again = to_canonical_json(&image);
            assert!(AnyManifest::parse(media_type::OCI_MANIFEST, &again).is_ok());
        }
        Ok(AnyManifest::Index(index)) => {
            let wanted = Platform::new("linux", "amd64", None);
            if let Some(chosen) = index.select(&wanted) {
                assert!(chosen.platform.as_ref().is_some_and(|platform| platform.satisfies(&wanted)));
            }
        }
        Err(_) => {}
    }
}
