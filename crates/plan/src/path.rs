//! Slash-separated paths as text, cleaned as Go's `path` package does it. Nothing here looks at a file system.

/// Shortest equivalent path: no `//`, `.`, or `..` behind a name. Empty becomes `.`.
pub(crate) fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if absolute => {}
                _ => parts.push(".."),
            },
            name => parts.push(name),
        }
    }
    match (absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// `path` seen from the directory `base`: absolute and clean.
pub(crate) fn absolute(base: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("/{base}/{path}")) }
}

/// A destination of COPY: absolute and clean, with a trailing slash if it can only mean a directory.
///
/// Source: BuildKit `dockerfile2llb` pathRelativeToWorkingDir. Empty and `.` are the working directory itself.
pub(crate) fn destination(working_directory: &str, path: &str) -> String {
    let directory = matches!(path, "" | ".") || path.ends_with('/') || path.ends_with("/.");
    let mut cleaned = absolute(working_directory, path);
    if directory && cleaned != "/" {
        cleaned.push('/');
    }
    cleaned
}

/// The last component of a path; `/` for the root.
pub(crate) fn base_name(path: &str) -> String {
    let cleaned = clean(path);
    match cleaned.rsplit_once('/') {
        Some((_, "")) => "/".to_owned(),
        Some((_, name)) => name.to_owned(),
        None => cleaned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_as_go_does() {
        for (path, want) in [
            ("", "."),
            ("/", "/"),
            ("/a//b/../c/", "/a/c"),
            ("/../a", "/a"),
            ("../a/./b", "../a/b"),
            ("a/..", "."),
            ("a/../../b", "../b"),
        ] {
            assert_eq!(clean(path), want, "{path:?}");
        }
    }

    #[test]
    fn destinations_keep_what_says_directory() {
        for (path, want) in [
            ("", "/w/"),
            (".", "/w/"),
            ("a", "/w/a"),
            ("a/", "/w/a/"),
            ("a/.", "/w/a/"),
            ("/", "/"),
            ("..", "/"),
            ("/x/y/..", "/x"),
        ] {
            assert_eq!(destination("/w", path), want, "{path:?}");
        }
    }

    #[test]
    fn base_names() {
        for (path, want) in [("/a/b", "b"), ("a", "a"), ("/", "/"), ("a/b/", "b"), ("", ".")] {
            assert_eq!(base_name(path), want, "{path:?}");
        }
    }
}
