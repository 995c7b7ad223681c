//! SPDX 2.3 as JSON: the image, and the packages that it contains.
//!
//! Source: the SPDX specification 2.3 and its JSON schema.

use std::collections::BTreeMap;

use jettison_oci::Digest;
use serde_json::{Value, json};

use super::{Component, Inventory, Subject, components, license, purl};

const NOTHING: &str = "NOASSERTION";
const IMAGE_ID: &str = "SPDXRef-Image";

/// The document. The same packages of the same image give the same bytes.
pub fn spdx(inventory: &Inventory, subject: &Subject<'_>) -> Value {
    let components = components(inventory);
    let mut foreign = BTreeMap::new();
    let mut packages = vec![image(subject)];
    packages.extend(components.iter().map(|component| package(component, &mut foreign)));
    let mut relationships = vec![relationship("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE_ID)];
    relationships
        .extend(components.iter().map(|component| relationship(IMAGE_ID, "CONTAINS", &id(component))));
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "creationInfo": {
            "created": subject.created,
            "creators": [format!("Tool: jettison-{}", subject.tool_version)],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !foreign.is_empty() {
        let info =
            |(id, text): (String, String)| json!({"licenseId": id, "extractedText": text, "name": text});
        document["hasExtractedLicensingInfos"] = foreign.into_iter().map(info).collect();
    }
    if !inventory.gaps.is_empty() {
        document["comment"] = json!(format!("Not complete. {}", inventory.gaps.join("; ")));
    }
    // Whatever differs makes another document, and so needs another name.
    let digest = Digest::sha256(document.to_string().as_bytes());
    document["documentNamespace"] = json!(format!("https://spdx.org/spdxdocs/jettison-{}", digest.hex()));
    document
}

fn image(subject: &Subject<'_>) -> Value {
    let hex = subject.digest.split_once(':').map_or("", |(_, hex)| hex);
    json!({
        "name": subject.name,
        "SPDXID": IMAGE_ID,
        "versionInfo": subject.digest,
        "primaryPackagePurpose": "CONTAINER",
        "supplier": NOTHING,
        "downloadLocation": NOTHING,
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
        "checksums": [{"algorithm": "SHA256", "checksumValue": hex}],
        "externalRefs": [reference(&purl::of_image(subject.name, subject.digest))],
    })
}

fn package(component: &Component<'_>, foreign: &mut BTreeMap<String, String>) -> Value {
    let declared = match &component.package.license {
        None => NOTHING.to_owned(),
        Some(text) => license::expression(text).unwrap_or_else(|| {
            let id = license::reference(text);
            foreign.insert(id.clone(), text.clone());
            id
        }),
    };
    let supplier = component.package.supplier.as_ref();
    let locations: Vec<&str> = component.locations.iter().map(|path| path.as_str()).collect();
    let mut package = json!({
        "name": component.package.name,
        "SPDXID": id(component),
        "supplier": supplier.map_or(NOTHING.to_owned(), |name| format!("Organization: {name}")),
        "downloadLocation": NOTHING,
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING,
        "licenseDeclared": declared,
        "copyrightText": NOTHING,
        "sourceInfo": format!("found in {}", locations.join(", ")),
        "externalRefs": [reference(&component.purl)],
    });
    if !component.package.version.is_empty() {
        package["versionInfo"] = json!(component.package.version);
    }
    package
}

fn id(component: &Component<'_>) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = component.package.name.chars().take(60).map(safe).collect();
    format!("SPDXRef-Package-{name}-{}", &Digest::sha256(component.purl.as_bytes()).hex()[..16])
}

fn reference(purl: &str) -> Value {
    json!({"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl})
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}
