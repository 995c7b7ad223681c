//! The start-proof as its users see it: tiny images made here, and the whole of what is said about each.
//!
//! `elf_file.rs` writes ELF files of a few hundred bytes; `proofs.rs` has one case per rule; `search.rs` the search of
//! libraries; `hostile.rs` what must never panic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod brought;
mod elf_file;
mod hostile;
mod layers;
mod proofs;
mod search;
mod size;

/// Names of rules are promises: scripts read them.
#[test]
fn every_rule_is_documented_and_has_a_case() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(folder.join("../../docs/verify.md")).unwrap();
    let mut rules = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder.join("src/proof")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for call in [".error(", ".warning(", ".find("] {
            for rest in text.split(call).skip(1) {
                let name = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                rules.extend(name.filter(|name| name.contains('-') || *name == "locale").map(str::to_owned));
            }
        }
    }
    let missing: Vec<&String> =
        rules.iter().filter(|rule| !page.contains(&format!("| `{rule}` |"))).collect();
    assert!(rules.len() > 20, "{rules:?}");
    assert!(missing.is_empty(), "docs/verify.md does not have {missing:?}");
    let mut cases = std::fs::read_to_string(folder.join("tests/rules/proofs.rs")).unwrap();
    for entry in std::fs::read_dir(folder.join("tests/rules/snapshots")).unwrap() {
        cases.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let unseen: Vec<&String> = rules.iter().filter(|rule| !cases.contains(&format!(" {rule}: "))).collect();
    assert!(unseen.is_empty(), "no case shows {unseen:?}");
}
