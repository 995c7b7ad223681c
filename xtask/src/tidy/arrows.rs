//! Which crate may use which: arrows point inwards only.
//!
//! The table is the one of ARCHITECTURE.md. A new arrow is a decision: it goes into both, with its reason.

use super::Crate;

const PREFIX: &str = "jettison-";

/// Each crate, and the crates of this workspace that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("oci", &[]),
    ("dockerfile", &[]),
    ("plan", &["oci", "dockerfile"]),
    ("layer", &["oci"]),
    ("store", &["oci", "layer"]),
    ("sandbox", &[]),
    ("registry", &["oci"]),
    ("engine", &["oci", "dockerfile", "plan", "layer", "store", "sandbox", "registry"]),
    ("inspect", &["oci", "layer", "store"]),
    ("slim", &["oci", "dockerfile", "inspect"]),
    ("ui", &["engine", "inspect", "oci"]),
    ("corpus", &[]),
];

/// The program, which may use everything, and this one, which uses nothing but what it shares with the tests.
const PROGRAM: &str = "jettison";
const TASKS: &str = "xtask";

/// Arrows that the table does not allow, and crates that it does not know.
pub(super) fn problems(crates: &[Crate]) -> Vec<String> {
    crates.iter().flat_map(of_crate).collect()
}

fn of_crate(subject: &Crate) -> Vec<String> {
    let inner = subject.dependencies.iter().filter_map(|name| name.strip_prefix(PREFIX));
    if subject.name == PROGRAM {
        return Vec::new();
    }
    let own = subject.name.strip_prefix(PREFIX).unwrap_or(&subject.name);
    let allowed = match ALLOWED.iter().find(|(name, _)| *name == own) {
        Some((_, allowed)) => *allowed,
        None if subject.name == TASKS => &["corpus"],
        None => {
            return vec![format!(
                "{}: not in the table of allowed arrows (xtask/src/tidy/arrows.rs)",
                subject.name
            )];
        }
    };
    // A crate names itself to switch on its test doubles for its own tests.
    inner
        .filter(|name| *name != own && !allowed.contains(name))
        .map(|name| {
            format!("{own} must not use {name}: the arrow is not in the table (xtask/src/tidy/arrows.rs)")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &str, dependencies: &[&str]) -> Crate {
        Crate { name: name.to_owned(), dependencies: dependencies.iter().map(|&d| d.to_owned()).collect() }
    }

    #[test]
    fn an_arrow_that_points_outwards_is_found() {
        let crates = [
            subject("jettison-oci", &["serde", "jettison-store"]),
            subject("jettison-store", &["jettison-oci"]),
        ];
        let found = problems(&crates);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("oci must not use store"), "{}", found[0]);
    }

    #[test]
    fn a_crate_that_nobody_placed_is_found_and_the_program_may_use_everything() {
        let crates = [
            subject("jettison", &["jettison-ui"]),
            subject("jettison-odds", &[]),
            subject("xtask", &["anyhow"]),
        ];
        assert_eq!(problems(&crates).len(), 1);
    }
}
