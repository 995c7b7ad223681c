//! `/var/lib/dpkg/status`, and the files of `status.d` that distroless images have in its place.
//!
//! Source: dpkg(1) and deb-control(5).

use super::{Ecosystem, Package, fields};

/// Packages that are installed, as far as the text says so.
#[allow(clippy::unnecessary_wraps, reason = "the signature that all readers have")]
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let mut packages = Vec::new();
    for paragraph in text.split("\n\n") {
        let paragraph = fields(paragraph.trim_start_matches('\n'), ":");
        let field = |name: &str| paragraph.get(name).copied().filter(|value| !value.is_empty());
        // Configuration files of a removed package are no package.
        if field("Status").is_some_and(|status| !status.ends_with(" installed")) {
            continue;
        }
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else { continue };
        let mut package = Package::new(Ecosystem::Dpkg, name, version);
        package.architecture = field("Architecture").map(str::to_owned);
        package.source = field("Source").map(source);
        package.supplier = field("Maintainer").map(str::to_owned);
        package.bytes = field("Installed-Size")
            .and_then(|size| size.parse::<u64>().ok())
            .map(|kibibytes| kibibytes.saturating_mul(1024));
        packages.push(package);
    }
    Ok(packages)
}

/// `glibc (2.36-9)` is `glibc@2.36-9`.
fn source(text: &str) -> String {
    match text.split_once('(') {
        Some((name, version)) => format!("{}@{}", name.trim(), version.trim_end_matches(')').trim()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_packages_only() {
        let text = "Package: libc6\nStatus: install ok installed\nInstalled-Size: 10\nMaintainer: A <a@b>\n\
                    Architecture: amd64\nSource: glibc (2.36-9)\nVersion: 2.36-9+deb12u1\nDescription: x\n goes: on\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\nPackage: no-version\n";
        let packages = read(text.as_bytes()).unwrap();
        assert_eq!(packages.len(), 1);
        let libc = &packages[0];
        assert_eq!((libc.name.as_str(), libc.version.as_str()), ("libc6", "2.36-9+deb12u1"));
        assert_eq!(libc.source.as_deref(), Some("glibc@2.36-9"));
        assert_eq!(libc.bytes, Some(10_240));
    }
}
