//! What has to be fetched from elsewhere: URLs and Git repositories, as ADD, contexts and named contexts write them.
//!
//! Pure: which texts mean what. Fetching is the engine's work. Source: BuildKit `dfgitutil/git_ref.go`,
//! `util/gitutil/git_url.go`, `dockerfile2llb/convert_copy.go`. Read next: `git.rs`.

mod git;

use jettison_oci::{Algorithm, Digest};

pub use git::Git;

/// A source that has to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remote {
    /// A file over HTTP or HTTPS.
    Http(Http),
    /// A commit of a Git repository.
    Git(Git),
}

/// A file over HTTP or HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Http {
    /// Its address, without a fragment. May hold a user name and password: never show it, see [`redacted`].
    pub url: String,
    /// The name that the file gets in a directory.
    pub name: String,
    /// What its bytes must hash to.
    pub checksum: Option<Digest>,
}

/// The name of a file whose URL has none.
const UNNAMED: &str = "__unnamed__";

impl Http {
    /// The file at `url`, named by the last part of its path.
    pub fn new(url: &str) -> Self {
        let url = url.split('#').next().unwrap_or_default();
        let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
        let without_query = after_scheme.split('?').next().unwrap_or_default();
        let path = percent_decoded(without_query.split_once('/').map_or("", |(_, path)| path));
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let usable = !matches!(last, "" | "." | "..") && !last.contains('\0');
        let name = if usable { last } else { UNNAMED }.to_owned();
        Self { url: url.to_owned(), name, checksum: None }
    }
}

impl Remote {
    /// What `source` of ADD means, if it is not a path.
    ///
    /// # Errors
    /// One line on what is wrong with a text that means Git.
    pub fn of_source(source: &str) -> Result<Option<Self>, String> {
        if let Some(git) = Git::parse(source)? {
            return Ok(Some(Self::Git(git)));
        }
        Ok(is_http(source).then(|| Self::Http(Http::new(source))))
    }

    /// What a context means, if it is not a folder: as [`Remote::of_source`], and `github.com/owner/name` without a
    /// scheme.
    ///
    /// # Errors
    /// As for [`Remote::of_source`].
    pub fn of_context(text: &str) -> Result<Option<Self>, String> {
        if text.starts_with("github.com/") {
            return Git::parse_https(&format!("https://{text}")).map(|git| Some(Self::Git(git)));
        }
        Self::of_source(text)
    }

    /// As people wrote it, without credentials.
    pub fn shown(&self) -> String {
        match self {
            Self::Http(http) => redacted(&http.url),
            Self::Git(git) => git.shown(),
        }
    }
}

fn is_http(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// `text` with user name and password of its URL blotted out, in BuildKit's way (`urlutil.RedactCredentials`).
pub fn redacted(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let Some((user, host)) = authority.rsplit_once('@') else { return text.to_owned() };
    // The user name of ssh is no secret, and people look for it.
    let user = match user.split_once(':') {
        None if scheme.eq_ignore_ascii_case("ssh") => user,
        None => "xxxxx",
        Some(_) => "xxxxx:xxxxx",
    };
    format!("{scheme}://{user}@{host}{tail}")
}

/// A checksum of a file: only SHA-256 is one.
///
/// # Errors
/// One line on what is wrong with it.
pub fn file_checksum(text: &str) -> Result<Digest, String> {
    match text.parse::<Digest>() {
        Ok(digest) if digest.algorithm() == Algorithm::Sha256 => Ok(digest),
        Ok(digest) => Err(format!("checksum algorithm {} is not supported", digest.algorithm().name())),
        Err(_) => Err(format!("invalid checksum {text:?}")),
    }
}

/// `%2F` and the like; what cannot be decoded stays.
pub fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_urls_and_repositories() {
        let kind = |text: &str| match Remote::of_source(text) {
            Ok(None) => "path",
            Ok(Some(Remote::Http(_))) => "url",
            Ok(Some(Remote::Git(_))) => "git",
            Err(_) => "error",
        };
        for (source, want) in [
            ("a/b", "path"),
            ("host/x/y.git", "path"),
            ("github.com/x/y", "path"),
            ("a@b", "path"),
            ("./git@x.org:y", "path"),
            ("ftp://x/y", "path"),
            ("https://x/y.tar.gz", "url"),
            ("http://x", "url"),
            ("https://x/y.git", "git"),
            ("https://x/y.git#main:sub", "git"),
            ("https://x/y.git?ref=main", "git"),
            ("https://x/y.git?reff=main", "error"),
            ("https://x/y?z=.git", "url"),
            ("git://x/y", "git"),
            ("ssh://git@x/y", "git"),
            ("git@x.org:y/z.git", "git"),
        ] {
            assert_eq!(kind(source), want, "{source}");
        }
        assert!(
            matches!(Remote::of_context("github.com/x/y#main"), Ok(Some(Remote::Git(g))) if g.url == "https://github.com/x/y")
        );
    }

    #[test]
    fn names_come_from_the_path() {
        for (url, name) in [
            ("https://x/a/b.tar.gz?v=1#f", "b.tar.gz"),
            ("https://x/a/", "a"),
            ("https://x", UNNAMED),
            ("https://x/", UNNAMED),
            ("https://x/?a=/b", UNNAMED),
            ("https://x/a%20b", "a b"),
            ("https://x/a%2Fb", "b"),
            ("https://x/%2e%2E", UNNAMED),
            ("https://x/100%", "100%"),
        ] {
            assert_eq!(Http::new(url).name, name, "{url}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        for (url, shown) in [
            ("https://u:p@x/y", "https://xxxxx:xxxxx@x/y"),
            ("https://token@x/y", "https://xxxxx@x/y"),
            ("https://x/y@z", "https://x/y@z"),
            ("ssh://git@x/y", "ssh://git@x/y"),
            ("ssh://git:p@x/y", "ssh://xxxxx:xxxxx@x/y"),
            ("a/b", "a/b"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }

    #[test]
    fn only_sha256_is_a_checksum_of_a_file() {
        let hex = "0".repeat(64);
        assert!(file_checksum(&format!("sha256:{hex}")).is_ok());
        for text in [
            format!("md5:{}", "0".repeat(32)),
            format!("sha512:{}", "0".repeat(128)),
            hex,
            "sha256:ab".into(),
        ] {
            assert!(file_checksum(&text).is_err(), "{text}");
        }
    }
}
