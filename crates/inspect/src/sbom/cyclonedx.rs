//! CycloneDX 1.6 as JSON: the image as the subject, its packages and its operating system as components.
//!
//! Source: the CycloneDX specification 1.6 and its JSON schema.

use jettison_oci::Digest;
use serde_json::{Value, json};

use super::{Component, Distribution, Ecosystem, Inventory, Subject, components, license, purl};

/// The document. The same packages of the same image give the same bytes.
pub fn cyclonedx(inventory: &Inventory, subject: &Subject<'_>) -> Value {
    let mut list: Vec<Value> = inventory.distribution.iter().map(system).collect();
    list.extend(components(inventory).iter().map(component));
    let image = purl::of_image(subject.name, subject.digest);
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": subject.created,
            "tools": {"components": [
                {"type": "application", "name": "jettison", "version": subject.tool_version},
            ]},
            "component": {
                "type": "container",
                "bom-ref": image,
                "name": subject.name,
                "version": subject.digest,
                "purl": image,
            },
        },
        "components": list,
    });
    let gap = |gap: &String| json!({"name": "jettison:gap", "value": gap});
    if !inventory.gaps.is_empty() {
        document["metadata"]["properties"] = inventory.gaps.iter().map(gap).collect();
        document["compositions"] = json!([{"aggregate": "incomplete", "assemblies": [image]}]);
    }
    document["serialNumber"] = json!(serial_number(&document));
    document
}

fn system(distribution: &Distribution) -> Value {
    let mut system = json!({
        "type": "operating-system",
        "bom-ref": format!("os:{}-{}", distribution.id, distribution.version),
        "name": distribution.id,
    });
    if !distribution.version.is_empty() {
        system["version"] = json!(distribution.version);
    }
    system
}

fn component(component: &Component<'_>) -> Value {
    let package = component.package;
    let location = |path: &&String| json!({"location": path});
    let mut found = json!({
        "type": "library",
        "bom-ref": component.purl,
        "name": package.name,
        "purl": component.purl,
        "evidence": {"occurrences": component.locations.iter().map(location).collect::<Value>()},
    });
    if !package.version.is_empty() {
        found["version"] = json!(package.version);
    }
    if let (Ecosystem::Npm, Some((scope, name))) = (package.ecosystem, package.name.split_once('/')) {
        found["group"] = json!(scope);
        found["name"] = json!(name);
    }
    if let Some(supplier) = &package.supplier {
        found["supplier"] = json!({"name": supplier});
    }
    if let Some(text) = &package.license {
        found["licenses"] = match license::expression(text) {
            Some(expression) => json!([{"expression": expression}]),
            None => json!([{"license": {"name": text}}]),
        };
    }
    found
}

/// A number that follows from the content, in the form of a random one.
fn serial_number(document: &Value) -> String {
    let digest = Digest::sha256(document.to_string().as_bytes());
    let hex = digest.hex();
    // Version 8 of RFC 9562 is for what is made in another way than the registered ones.
    format!("urn:uuid:{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
