//! What must hold for any bytes given to a parser of `jettison-dockerfile`. Used by the fuzz targets, and by the test
//! that replays the corpus on the stable compiler.

use jettison_dockerfile::expand::{expand, expand_heredoc, expand_words};
use jettison_dockerfile::ignore::{ParentMatches, Patterns};
use jettison_dockerfile::{Kind, Span, mount, parse, parse_onbuild};

/// A whole file: every place lies in it, and an ONBUILD trigger that it stores can be read again or is refused.
pub(crate) fn dockerfile(bytes: &[u8]) {
    let parsed = parse(bytes);
    let inside = |span: Span| assert!(span.start <= span.end && span.end <= bytes.len(), "{span}");
    parsed.diagnostics.iter().for_each(|diagnostic| inside(diagnostic.span));
    for stage in &parsed.dockerfile.stages {
        inside(stage.from.span);
        for instruction in &stage.instructions {
            inside(instruction.span);
            inside(instruction.keyword);
            if let Some(line) = instruction.empty_line {
                inside(line.span);
                inside(line.last);
            }
            if let Kind::Onbuild(onbuild) = &instruction.kind {
                let trigger = &onbuild.trigger.value;
                if let Err(refused) = parse_onbuild(trigger) {
                    assert!(refused.span.end <= trigger.len());
                }
            }
        }
    }
}

/// A word, in every way in which words are expanded. The first byte chooses the escape character.
pub(crate) fn words(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(word) = std::str::from_utf8(rest) else { return };
    let escape = if first % 2 == 0 { '\\' } else { '`' };
    let values = |name: &str| match name {
        "A" => Some("a b/c.d".to_owned()),
        "E" => Some(String::new()),
        _ => None,
    };
    if let Ok(expanded) = expand(word, escape, &values) {
        assert!(expanded.unmatched.iter().all(|name| values(name).is_none()));
    }
    let _ = expand_words(word, escape, &values);
    let _ = expand_heredoc(word, &values);
}

/// An ignore file and, behind the first zero byte, a path: looking at the path at once or level by level is the same.
pub(crate) fn ignore(bytes: &[u8]) {
    let (text, path) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &b"a/b"[..]),
    };
    let Ok(patterns) = Patterns::parse(text) else { return };
    let _ = patterns.leaves_nothing_of(&String::from_utf8_lossy(path));
    let excluded = patterns.excludes(path);
    let components: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    if components.iter().any(|component| component.is_empty() || *component == b".") {
        return;
    }
    let mut parents = ParentMatches::default();
    let mut last = false;
    for depth in 1..=components.len() {
        (last, parents) = patterns.check(components[..depth].join(&b'/'), &parents);
    }
    if patterns.has_negations() {
        assert_eq!(last, excluded, "{:?}", String::from_utf8_lossy(path));
    }
}

/// The value of `RUN --mount`.
pub(crate) fn mounts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = mount::parse(text);
    let values = |name: &str| (name == "A").then(|| "type=cache,target=/x".to_owned());
    if let Ok(mount) = mount::parse_expanding(text, '\\', &values) {
        assert!(mount.sharing == mount::Sharing::Shared || mount.mount_type == mount::MountType::Cache);
    }
}
