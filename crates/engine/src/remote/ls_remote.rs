//! What `git ls-remote` says about a name. Pure.

/// The names that a reference may stand for, to be asked for.
pub(super) fn patterns(reference: &str) -> Vec<String> {
    let mut patterns = Vec::new();
    for name in candidates(reference) {
        patterns.push(format!("{name}^{{}}"));
        patterns.push(name);
    }
    patterns
}

/// Full names in the order in which they count: as git checkout, a branch before a tag.
fn candidates(reference: &str) -> Vec<String> {
    if reference == "HEAD" || reference.starts_with("refs/") {
        return vec![reference.to_owned()];
    }
    ["refs/heads/", "refs/tags/", "refs/"].iter().map(|prefix| format!("{prefix}{reference}")).collect()
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The commit.
    pub(super) commit: String,
    /// The object that the name holds, if that is another: an annotated tag.
    pub(super) tag: Option<String>,
    /// The full name.
    pub(super) name: String,
}

/// Reads lines of `<object>\t<name>`; an annotated tag has a second one for its commit, `<name>^{}`.
pub(super) fn read(output: &str, reference: &str) -> Option<Named> {
    let lines: Vec<(&str, &str)> = output.lines().filter_map(|line| line.split_once('\t')).collect();
    let object = |name: &str| {
        let found = lines.iter().find(|(_, n)| *n == name).map(|(object, _)| (*object).to_owned());
        found.filter(|o| matches!(o.len(), 40 | 64) && o.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    candidates(reference).into_iter().find_map(|name| {
        let held = object(&name)?;
        Some(match object(&format!("{name}^{{}}")) {
            Some(commit) => Named { commit, tag: Some(held), name },
            None => Named { commit: held, tag: None, name },
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_come_before_tags_and_tags_are_followed() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|c| c.repeat(40));
        let output = format!(
            "{a}\tHEAD\n{a}\trefs/heads/main\n{b}\trefs/tags/main\n{c}\trefs/tags/v1\n{d}\trefs/tags/v1^{{}}\n{b}\trefs/heads/x/v1\nwarning\n"
        );
        let commit = |reference| read(&output, reference).map(|named| named.commit);
        assert_eq!(commit("HEAD"), Some(a.clone()));
        assert_eq!(commit("main"), Some(a));
        assert_eq!(commit("refs/tags/main"), Some(b));
        assert_eq!(
            read(&output, "v1"),
            Some(Named { commit: d, tag: Some(c), name: "refs/tags/v1".to_owned() })
        );
        assert_eq!(commit("v2"), None);
        assert_eq!(read("evil\trefs/heads/x", "x"), None);
        assert_eq!(patterns("refs/heads/x"), ["refs/heads/x^{}", "refs/heads/x"]);
    }
}
