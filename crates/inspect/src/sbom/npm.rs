//! npm packages: `package.json` where npm, yarn and pnpm put installed packages, and of applications beside them.
//!
//! Source: npm's package.json(5).

use serde_json::Value;

use super::{Ecosystem, Package};

/// Whether `package.json` in this folder is that of a package, and not of some test or module inside of one.
pub(super) fn is_package(folder: &[u8]) -> bool {
    let text = String::from_utf8_lossy(folder);
    let mut parts = text.rsplit('/');
    let Some(inner) = text.rfind("node_modules") else { return true };
    let (name, parent) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let depth = text[inner..].matches('/').count();
    match depth {
        0 => false,
        1 => parent == "node_modules" && !name.starts_with(['.', '@']),
        2 => parent.starts_with('@'),
        _ => false,
    }
}

/// The one package that the file describes; files without name or version describe none.
#[allow(clippy::unnecessary_wraps, reason = "the signature that all readers have")]
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Package>, String> {
    // Tests of packages have damaged ones on purpose: what npm could not read is no package.
    let Ok(Value::Object(json)) = serde_json::from_slice(bytes) else { return Ok(Vec::new()) };
    let text = |name: &str| json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(name), Some(version)) = (text("name"), text("version")) else { return Ok(Vec::new()) };
    let mut package = Package::new(Ecosystem::Npm, name, version);
    package.license = match json.get("license") {
        Some(Value::String(license)) => Some(license.clone()),
        // Old packages: an object with the type.
        Some(other) => other.get("type").and_then(Value::as_str).map(str::to_owned),
        None => None,
    };
    package.supplier = match json.get("author") {
        Some(Value::String(author)) => Some(author.clone()),
        Some(other) => other.get("name").and_then(Value::as_str).map(str::to_owned),
        None => None,
    };
    Ok(vec![package])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_folders_are_packages() {
        for (folder, is) in [
            ("app", true),
            ("", true),
            ("app/node_modules/express", true),
            ("app/node_modules/@scope/name", true),
            ("app/node_modules/a/node_modules/b", true),
            ("app/node_modules", false),
            ("app/node_modules/.cache", false),
            ("app/node_modules/@scope", false),
            ("app/node_modules/a/test", false),
            ("app/node_modules/a/test/fixtures", false),
        ] {
            assert_eq!(is_package(folder.as_bytes()), is, "{folder}");
        }
    }

    #[test]
    fn licences_and_authors_in_both_forms() {
        let new = br#"{"name":"@a/b","version":"1.0.0","license":"MIT","author":"A <a@b>"}"#;
        let old = br#"{"name":"b","version":"2.0.0","license":{"type":"ISC"},"author":{"name":"B"}}"#;
        let (new, old) = (read(new).unwrap().remove(0), read(old).unwrap().remove(0));
        assert_eq!((new.license.as_deref(), new.supplier.as_deref()), (Some("MIT"), Some("A <a@b>")));
        assert_eq!((old.license.as_deref(), old.supplier.as_deref()), (Some("ISC"), Some("B")));
        for none in ["{\"type\":\"module\"}", "{\"name\":\"x\"}", "[]", "{", ""] {
            assert_eq!(read(none.as_bytes()).unwrap(), [], "{none}");
        }
    }
}
