//! Python distributions: `METADATA` of wheels, `PKG-INFO` of eggs.
//!
//! Source: the core metadata specifications of the Python Packaging Authority.

use super::{Ecosystem, Package, fields};

/// The one distribution that the file describes.
#[allow(clippy::unnecessary_wraps, reason = "the signature that all readers have")]
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = String::from_utf8_lossy(bytes);
    let header = fields(&text, ":");
    let field =
        |name: &str| header.get(name).copied().filter(|value| !value.is_empty() && *value != "UNKNOWN");
    let (Some(name), Some(version)) = (field("Name"), field("Version")) else { return Ok(Vec::new()) };
    let mut package = Package::new(Ecosystem::Python, name, version);
    package.license = field("License-Expression").or_else(|| field("License")).map(str::to_owned);
    let author = field("Author").or_else(|| field("Maintainer"));
    package.supplier = author.map(str::to_owned);
    Ok(vec![package])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_and_nothing_of_the_description() {
        let text = "Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6.3\nLicense: MIT\n\nVersion: 9\nAuthor: x\n";
        let packages = read(text.as_bytes()).unwrap();
        assert_eq!((packages[0].name.as_str(), packages[0].version.as_str()), ("Flask_Login", "0.6.3"));
        assert_eq!((packages[0].license.as_deref(), packages[0].supplier.as_deref()), (Some("MIT"), None));
        assert_eq!(read(b"Name: x\n").unwrap(), []);
    }
}
