//! What must hold for any bytes given to a parser of `jettison-oci`. Used by the fuzz target, and by the test that
//! replays the corpus on the stable compiler.

use jettison_oci::{Platform, Reference};

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
