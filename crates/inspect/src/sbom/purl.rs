//! Package URLs: the name of a package that scanners of all kinds look up.
//!
//! Source: the purl specification and its types.

use super::{Distribution, Ecosystem, Package};

/// The URL of a package in an image of this distribution.
pub(super) fn of(package: &Package, distribution: Option<&Distribution>) -> String {
    let id = distribution.map_or("", |distribution| distribution.id.as_str());
    let or = |default: &'static str| if id.is_empty() { default.to_owned() } else { encode(id) };
    let (path, mut version) = match package.ecosystem {
        Ecosystem::Dpkg => {
            (format!("deb/{}/{}", or("debian"), encode(&package.name)), package.version.clone())
        }
        Ecosystem::Apk => {
            (format!("apk/{}/{}", or("alpine"), encode(&package.name)), package.version.clone())
        }
        Ecosystem::Rpm => {
            (format!("rpm/{}/{}", or("redhat"), encode(&package.name)), package.version.clone())
        }
        Ecosystem::Go => (format!("golang/{}", path(&package.name.to_lowercase())), package.version.clone()),
        Ecosystem::Cargo => (format!("cargo/{}", encode(&package.name)), package.version.clone()),
        Ecosystem::Python => (
            format!("pypi/{}", encode(&package.name.to_lowercase().replace('_', "-"))),
            package.version.clone(),
        ),
        Ecosystem::Npm => (format!("npm/{}", path(&package.name)), package.version.clone()),
    };
    let mut qualifiers = Vec::new();
    if let Some(architecture) = &package.architecture {
        qualifiers.push(format!("arch={}", encode(architecture)));
    }
    let is_system = matches!(package.ecosystem, Ecosystem::Dpkg | Ecosystem::Apk | Ecosystem::Rpm);
    if let Some(distribution) = distribution.filter(|d| is_system && !d.version.is_empty()) {
        qualifiers.push(format!("distro={}-{}", encode(&distribution.id), encode(&distribution.version)));
    }
    // In rpm's URLs the epoch stands apart.
    if package.ecosystem == Ecosystem::Rpm
        && let Some((epoch, rest)) = package.version.split_once(':')
    {
        qualifiers.push(format!("epoch={}", encode(epoch)));
        version = rest.to_owned();
    }
    if let Some(source) = package.source.as_ref().filter(|_| is_system) {
        qualifiers.push(format!("upstream={}", encode(source)));
    }
    let version = if version.is_empty() { String::new() } else { format!("@{}", encode(&version)) };
    let qualifiers = if qualifiers.is_empty() { String::new() } else { format!("?{}", qualifiers.join("&")) };
    format!("pkg:{path}{version}{qualifiers}")
}

/// The URL of an image.
pub(super) fn of_image(name: &str, digest: &str) -> String {
    let repository = name.split('@').next().unwrap_or(name);
    let slash = repository.rfind('/').map_or(0, |slash| slash + 1);
    let end = repository[slash..].find(':').map_or(repository.len(), |colon| slash + colon);
    let last = &repository[slash..end];
    let last = if last.is_empty() { "image" } else { last };
    format!("pkg:oci/{}@{}", encode(&last.to_lowercase()), encode(digest))
}

fn path(text: &str) -> String {
    text.split('/').map(encode).collect::<Vec<_>>().join("/")
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each() {
        let debian = Distribution { id: "debian".into(), version: "12".into() };
        let fedora = Distribution { id: "fedora".into(), version: "39".into() };
        let mut deb = Package::new(Ecosystem::Dpkg, "libstdc++6", "1:12.2.0-14");
        deb.architecture = Some("amd64".into());
        deb.source = Some("gcc-12@12.2".into());
        let mut rpm = Package::new(Ecosystem::Rpm, "bash", "1:5.2-1.fc39");
        rpm.architecture = Some("x86_64".into());
        let package = |ecosystem, name, version| Package::new(ecosystem, name, version);
        for (package, distribution, want) in [
            (
                deb,
                Some(&debian),
                "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2",
            ),
            (rpm, Some(&fedora), "pkg:rpm/fedora/bash@5.2-1.fc39?arch=x86_64&distro=fedora-39&epoch=1"),
            (package(Ecosystem::Apk, "musl", "1.2-r1"), None, "pkg:apk/alpine/musl@1.2-r1"),
            (package(Ecosystem::Go, "github.com/A/b", "v1.0.0"), None, "pkg:golang/github.com/a/b@v1.0.0"),
            (package(Ecosystem::Npm, "@s/x", "1.0.0"), None, "pkg:npm/%40s/x@1.0.0"),
            (package(Ecosystem::Python, "Flask_Login", "1"), Some(&debian), "pkg:pypi/flask-login@1"),
            (package(Ecosystem::Cargo, "serde", ""), None, "pkg:cargo/serde"),
        ] {
            assert_eq!(of(&package, distribution), want);
        }
        assert_eq!(of_image("localhost:5000/x/App:1", "sha256:ab"), "pkg:oci/app@sha256%3Aab");
    }
}
