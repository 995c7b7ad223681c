//! `/lib/apk/db/installed`: paragraphs of one-letter fields.
//!
//! Source: apk-tools `src/database.c`, apk_db_read_overlay and apk_pkgtmpl_add_info.

use super::{Ecosystem, Package, fields};

/// All packages; apk lists no others.
#[allow(clippy::unnecessary_wraps, reason = "the signature that all readers have")]
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut packages = Vec::new();
    for paragraph in text.split("\n\n") {
        let paragraph = fields(paragraph.trim_start_matches('\n'), ":");
        let field = |name: &str| paragraph.get(name).copied().filter(|value| !value.is_empty());
        let (Some(name), Some(version)) = (field("P"), field("V")) else { continue };
        let mut package = Package::new(Ecosystem::Apk, name, version);
        package.architecture = field("A").map(str::to_owned);
        package.source = field("o").filter(|origin| *origin != name).map(str::to_owned);
        package.supplier = field("m").map(str::to_owned);
        package.license = field("L").map(str::to_owned);
        package.bytes = field("I").and_then(|size| size.parse().ok());
        packages.push(package);
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_letters_counts() {
        // Behind the package come its files, in letters that mean something else.
        let text = "C:Q1x\nP:musl\nV:1.2.4-r2\nA:x86_64\nI:622592\nL:MIT\no:musl\nF:lib\nR:ld-musl\na:0:0:755\n\n\
                    P:ssl_client\nV:1.36\no:busybox\nL:GPL-2.0-only\n";
        let packages = read(text.as_bytes()).unwrap();
        assert_eq!(packages.len(), 2);
        assert_eq!((packages[0].bytes, packages[0].source.as_deref()), (Some(622_592), None));
        assert_eq!(packages[0].architecture.as_deref(), Some("x86_64"));
        assert_eq!(packages[1].source.as_deref(), Some("busybox"));
    }
}
