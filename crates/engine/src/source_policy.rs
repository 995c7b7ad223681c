//! Policies for sources: rules of a file that deny what a build fetches, or put something else in its place, such as the
//! digest that a tag had. Pure.
//!
//! The file is what BuildKit takes in `EXPERIMENTAL_BUILDKIT_SOURCE_POLICY`. Sources: BuildKit `sourcepolicy/engine.go`,
//! `matcher.go`, `pb/policy.proto`, `docs/build-repro.md`. Who asks: `images.rs` for images, `remote/` for URLs and
//! repositories.

use std::collections::BTreeMap;

use jettison_oci::{Digest, Reference};
use jettison_plan::remote::{Git, Http, Remote};
use serde::Deserialize;

/// Most conversions of one source. Source: BuildKit `sourcepolicy/engine.go`.
const CONVERSIONS_MAX: usize = 20;
/// The one attribute that rules can ask for and set.
const CHECKSUM: &str = "http.checksum";
const IMAGE: &str = "docker-image://";
const GIT: &str = "git://";

/// Rules, in order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcePolicy {
    #[serde(default)]
    #[allow(dead_code, reason = "there is only one version")]
    version: i64,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    action: Action,
    selector: Selector,
    #[serde(default)]
    updates: Updates,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Action {
    #[default]
    Allow,
    Deny,
    Convert,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selector {
    identifier: String,
    #[serde(default, alias = "matchType")]
    match_type: MatchType,
    #[serde(default)]
    constraints: Vec<Constraint>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum MatchType {
    #[default]
    Wildcard,
    Exact,
    Regex,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Constraint {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    condition: Condition,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Condition {
    #[default]
    Equal,
    NotEqual,
    Matches,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Updates {
    #[serde(default)]
    identifier: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

/// A source as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    identifier: String,
    checksum: String,
}

impl SourcePolicy {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, or what of it is not supported: a policy that is followed in part only is none.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let policy: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        for rule in &policy.rules {
            let of = |what: &str| format!("the rule for {:?}: {what}", rule.selector.identifier);
            if rule.selector.match_type == MatchType::Regex {
                return Err(of("match_type REGEX is not supported; EXACT and WILDCARD are"));
            }
            for constraint in &rule.selector.constraints {
                if constraint.condition == Condition::Matches {
                    return Err(of("the condition MATCHES is not supported; EQUAL and NOTEQUAL are"));
                }
                if constraint.key != CHECKSUM {
                    return Err(of(&format!("the attribute {:?} is not supported", constraint.key)));
                }
            }
            if let Some(name) = rule.updates.attrs.keys().find(|name| *name != CHECKSUM) {
                return Err(of(&format!("the attribute {name:?} is not supported")));
            }
        }
        Ok(policy)
    }

    /// The image to take where `reference` is asked for.
    ///
    /// # Errors
    /// It is denied, or its conversion is none.
    pub(crate) fn image(&self, reference: &Reference) -> Result<Reference, String> {
        let identifier = format!("{IMAGE}{reference}");
        let found = self.evaluate(Source { identifier: identifier.clone(), checksum: String::new() })?;
        if found.identifier == identifier {
            return Ok(reference.clone());
        }
        let name = found.identifier.strip_prefix(IMAGE).ok_or_else(|| no_conversion(&identifier, &found))?;
        // The scheme stands twice in an example of BuildKit's, which takes it.
        let name = name.strip_prefix(IMAGE).unwrap_or(name);
        name.parse().map_err(|error| format!("{}: {error}", no_conversion(&identifier, &found)))
    }

    /// What to fetch where `remote` is asked for. The name of the file stays.
    ///
    /// # Errors
    /// It is denied, or its conversion is none.
    pub(crate) fn remote(&self, remote: &Remote) -> Result<Remote, String> {
        Ok(match remote {
            Remote::Http(http) => Remote::Http(self.http(http)?),
            Remote::Git(git) => Remote::Git(self.git(git)?),
        })
    }

    fn http(&self, http: &Http) -> Result<Http, String> {
        let checksum = http.checksum.as_ref().map(Digest::to_string).unwrap_or_default();
        let asked = Source { identifier: http.url.clone(), checksum };
        let found = self.evaluate(asked.clone())?;
        if !found.identifier.starts_with("https://") && !found.identifier.starts_with("http://") {
            return Err(no_conversion(&asked.identifier, &found));
        }
        let mut http = Http { url: found.identifier, ..http.clone() };
        if found.checksum != asked.checksum {
            let digest = found.checksum.parse().map_err(|error| format!("{CHECKSUM}: {error}"))?;
            http.checksum = Some(digest);
        }
        Ok(http)
    }

    fn git(&self, git: &Git) -> Result<Git, String> {
        let place = place(&git.url);
        let mut identifier = format!("{GIT}{place}");
        if git.reference.is_some() || git.subdir.is_some() {
            identifier = format!("{identifier}#{}", git.reference.as_deref().unwrap_or_default());
        }
        if let Some(subdir) = &git.subdir {
            identifier = format!("{identifier}:{subdir}");
        }
        let found = self.evaluate(Source { identifier: identifier.clone(), checksum: String::new() })?;
        if found.identifier == identifier {
            return Ok(git.clone());
        }
        let new = found.identifier.strip_prefix(GIT).ok_or_else(|| no_conversion(&identifier, &found))?;
        let (new_place, fragment) = new.split_once('#').unwrap_or((new, ""));
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let url = if new_place == place { git.url.clone() } else { format!("https://{new_place}") };
        Ok(Git { url, reference: some(reference), subdir: some(subdir), ..git.clone() })
    }

    /// After a conversion all rules are asked again. Of those that allow or deny the last one counts.
    fn evaluate(&self, source: Source) -> Result<Source, String> {
        let asked = source.identifier.clone();
        let mut source = source;
        for _ in 0..=CONVERSIONS_MAX {
            match self.convert(&source)? {
                Some(converted) => source = converted,
                None => return Ok(source),
            }
        }
        Err(format!("the policy converts {} without end", shown(&asked)))
    }

    fn convert(&self, source: &Source) -> Result<Option<Source>, String> {
        let mut denied = false;
        for rule in &self.rules {
            let Some(parts) = rule.selector.matches(source) else { continue };
            match rule.action {
                Action::Allow => denied = false,
                Action::Deny => denied = true,
                Action::Convert => {
                    let mut converted = source.clone();
                    if !rule.updates.identifier.is_empty() {
                        converted.identifier = filled(&rule.updates.identifier, &parts);
                    }
                    if let Some(checksum) = rule.updates.attrs.get(CHECKSUM) {
                        converted.checksum.clone_from(checksum);
                    }
                    if converted != *source {
                        return Ok(Some(converted));
                    }
                }
            }
        }
        if denied {
            Err(format!("the source {} is denied by the policy", shown(&source.identifier)))
        } else {
            Ok(None)
        }
    }
}

impl Selector {
    /// What the wildcards stand for, if this is meant.
    fn matches(&self, source: &Source) -> Option<Vec<String>> {
        let holds = |constraint: &Constraint| match constraint.condition {
            Condition::Equal => constraint.value == source.checksum,
            _ => constraint.value != source.checksum,
        };
        if !self.constraints.iter().all(holds) {
            return None;
        }
        if self.identifier == source.identifier {
            return Some(Vec::new());
        }
        match self.match_type {
            MatchType::Wildcard => wildcard(&self.identifier, &source.identifier),
            MatchType::Exact | MatchType::Regex => None,
        }
    }
}

/// What each `*` stands for. The first takes as much as it can.
fn wildcard(pattern: &str, text: &str) -> Option<Vec<String>> {
    let (first, rest) = pattern.split_once('*')?;
    let mut text = text.strip_prefix(first)?;
    let mut parts = Vec::new();
    // From the end: so each piece is as far behind as it can be.
    let mut is_last = true;
    for piece in rest.rsplit('*') {
        let at = if is_last {
            text.len() - text.strip_suffix(piece).map(|_| piece.len())?
        } else {
            text.rfind(piece)?
        };
        parts.push(text[at + piece.len()..].to_owned());
        text = &text[..at];
        is_last = false;
    }
    // What stood behind the last piece is nothing; what is left stands before the first one.
    parts.remove(0);
    parts.push(text.to_owned());
    parts.reverse();
    Some(parts)
}

/// `${1}` and `$1` are what the first wildcard stands for; `$$` is a dollar.
fn filled(text: &str, parts: &[String]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        filled += before;
        let (braced, inner) = behind.strip_prefix('{').map_or((false, behind), |inner| (true, inner));
        let digits = inner.len() - inner.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = inner.split_at(digits);
        let after = if braced { after.strip_prefix('}') } else { Some(after) };
        match (number.parse::<usize>(), after) {
            (Ok(number), Some(after)) => {
                filled += number.checked_sub(1).and_then(|index| parts.get(index)).map_or("", String::as_str);
                rest = after;
            }
            _ => {
                filled.push('$');
                rest = behind.strip_prefix('$').unwrap_or(behind);
            }
        }
    }
    filled + rest
}

/// Host and path of a repository, as rules name it.
fn place(url: &str) -> String {
    let (is_scp, rest) = url.split_once("://").map_or((true, url), |(_, rest)| (false, rest));
    let end = rest.find('/').unwrap_or(rest.len());
    let rest = rest[..end].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    if is_scp { rest.replacen(':', "/", 1) } else { rest.to_owned() }
}

/// Without a password that may be in it.
fn shown(identifier: &str) -> String {
    jettison_plan::remote::redacted(identifier)
}

fn no_conversion(asked: &str, found: &Source) -> String {
    format!(
        "the policy converts {} to {}, which cannot take its place",
        shown(asked),
        shown(&found.identifier)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &str) -> SourcePolicy {
        SourcePolicy::parse(format!("{{\"rules\": [{rules}]}}").as_bytes()).unwrap()
    }

    fn image(policy: &SourcePolicy, name: &str) -> String {
        match policy.image(&name.parse().unwrap()) {
            Ok(reference) => reference.to_string(),
            Err(error) => error,
        }
    }

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_tag_is_pinned_to_a_digest() {
        let rule = |scheme: &str| {
            policy(&format!(
                r#"{{"action": "CONVERT", "selector": {{"identifier": "docker-image://docker.io/library/alpine:latest"}},
                "updates": {{"identifier": "{scheme}docker-image://docker.io/library/alpine:latest@{DIGEST}"}}}}"#
            ))
        };
        for policy in [rule(""), rule("docker-image://")] {
            assert_eq!(image(&policy, "alpine"), format!("docker.io/library/alpine:latest@{DIGEST}"));
            assert_eq!(image(&policy, "alpine:3"), "docker.io/library/alpine:3");
        }
    }

    #[test]
    fn the_last_rule_that_allows_or_denies_counts() {
        let policy = policy(
            r#"{"action": "DENY", "selector": {"identifier": "docker-image://*"}},
            {"action": "ALLOW", "selector": {"identifier": "docker-image://docker.io/library/*"}},
            {"action": "DENY", "selector": {"identifier": "docker-image://docker.io/library/busybox:1", "match_type": "EXACT"}}"#,
        );
        assert_eq!(image(&policy, "busybox:2"), "docker.io/library/busybox:2");
        let denied = |name: &str| format!("the source docker-image://{name} is denied by the policy");
        assert_eq!(image(&policy, "busybox:1"), denied("docker.io/library/busybox:1"));
        assert_eq!(image(&policy, "quay.io/x/y:1"), denied("quay.io/x/y:1"));
    }

    #[test]
    fn wildcards_are_filled_in_and_what_comes_out_is_judged_again() {
        let policy = policy(
            r#"{"action": "CONVERT", "selector": {"identifier": "docker-image://docker.io/*:*"},
            "updates": {"identifier": "docker-image://mirror.example/${1}:$2"}},
            {"action": "DENY", "selector": {"identifier": "docker-image://mirror.example/library/bad*"}}"#,
        );
        assert_eq!(image(&policy, "debian:12"), "mirror.example/library/debian:12");
        assert!(image(&policy, "bad:1").contains("mirror.example/library/bad:1 is denied"));
    }

    #[test]
    fn conversions_without_end_and_into_another_kind_are_errors() {
        let turn = |from: &str, to: &str| {
            format!(
                r#"{{"action": "CONVERT", "selector": {{"identifier": "docker-image://docker.io/library/{from}:latest"}},
                "updates": {{"identifier": "{to}"}}}}"#
            )
        };
        let image_of = |name: &str| format!("docker-image://docker.io/library/{name}:latest");
        let there_and_back = policy(&[turn("a", &image_of("b")), turn("b", &image_of("a"))].join(","));
        assert!(image(&there_and_back, "a").ends_with("without end"));
        let other = policy(&turn("a", "https://example.com/a"));
        assert!(image(&other, "a").ends_with("which cannot take its place"));
    }

    #[test]
    fn urls_get_checksums_and_other_places() {
        let policy = policy(&format!(
            r#"{{"action": "CONVERT", "selector": {{"identifier": "https://example.com/a.txt",
            "constraints": [{{"key": "http.checksum", "condition": "NOTEQUAL", "value": "{DIGEST}"}}]}},
            "updates": {{"identifier": "https://mirror.example/b.txt", "attrs": {{"http.checksum": "{DIGEST}"}}}}}}"#
        ));
        let Remote::Http(http) =
            policy.remote(&Remote::Http(Http::new("https://example.com/a.txt"))).unwrap()
        else {
            panic!()
        };
        assert_eq!((&*http.url, &*http.name), ("https://mirror.example/b.txt", "a.txt"));
        assert_eq!(http.checksum.unwrap().to_string(), DIGEST);
    }

    #[test]
    fn repositories_are_pinned_moved_and_denied() {
        let policy = policy(
            r#"{"action": "CONVERT", "selector": {"identifier": "git://github.com/a/b.git#v1"},
            "updates": {"identifier": "git://github.com/a/b.git#0123456"}},
            {"action": "CONVERT", "selector": {"identifier": "git://github.com/moved/*"},
            "updates": {"identifier": "git://example.com/$1"}},
            {"action": "DENY", "selector": {"identifier": "git://github.com/bad/*"}}"#,
        );
        let of = |url: &str, reference: Option<&str>| {
            let git = Git { url: url.into(), reference: reference.map(str::to_owned), ..Git::default() };
            policy.git(&git).map(|git| format!("{} {:?} {:?}", git.url, git.reference, git.subdir))
        };
        let pinned = "https://user:secret@github.com/a/b.git Some(\"0123456\") None";
        assert_eq!(of("https://user:secret@github.com/a/b.git", Some("v1")).unwrap(), pinned);
        let moved = "https://example.com/c.git Some(\"main\") None";
        assert_eq!(of("git@github.com:moved/c.git", Some("main")).unwrap(), moved);
        assert!(
            of("ssh://git@github.com/bad/c.git", None).unwrap_err().contains("git://github.com/bad/c.git")
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_whole() {
        let error = |text: &str| SourcePolicy::parse(text.as_bytes()).unwrap_err();
        let of = |rule: &str| error(&format!("{{\"rules\": [{rule}]}}"));
        assert!(of(r#"{"selector": {"identifier": "x", "matchType": "REGEX"}}"#).contains("REGEX"));
        assert!(
            of(r#"{"selector": {"identifier": "x"}, "updates": {"attrs": {"a": "b"}}}"#).contains("\"a\"")
        );
        assert!(of(r#"{"selector": {"identifier": "x", "constraints": [{"key": "k"}]}}"#).contains("\"k\""));
        assert!(error("{\"rule\": []}").contains("rule"));
        assert!(of(r#"{"action": "MAYBE", "selector": {"identifier": "x"}}"#).contains("MAYBE"));
        assert!(error("[").contains("EOF"));
    }

    #[test]
    fn pieces_between_wildcards_lie_as_far_behind_as_they_can() {
        let of = |pattern: &str, text: &str| wildcard(pattern, text).map(|parts| parts.join("|"));
        assert_eq!(of("a*", "abc").as_deref(), Some("bc"));
        assert_eq!(of("*:*", "a:b:c").as_deref(), Some("a:b|c"));
        assert_eq!(of("*/*-x", "p/q/r-x").as_deref(), Some("p/q|r"));
        assert_eq!(of("*", "").as_deref(), Some(""));
        assert_eq!(of("a*b", "ab").as_deref(), Some(""));
        assert_eq!(of("ab*ba", "aba"), None);
        assert_eq!(of("a", "a"), None);
        assert_eq!(filled("$1-${2}-$$-$x-${9}-${", &["p".into(), "q".into()]), "p-q-$-$x--${");
    }
}
