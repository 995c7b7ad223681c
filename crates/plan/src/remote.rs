//! Sources of COPY and ADD that are not files: URLs and Git repositories.
//!
//! Source: BuildKit `dfgitutil/git_ref.go` and `util/gitutil/git_url.go` (which texts mean Git).

/// A source that has to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remote {
    /// Over HTTP or HTTPS.
    Url,
    /// A Git repository.
    Git,
}

/// What `source` means, if it is not a path.
pub(crate) fn classify(source: &str) -> Option<Remote> {
    if let Some((scheme, rest)) = source.split_once("://") {
        return match scheme {
            "http" | "https" => {
                let path = rest.split(['#', '?']).next().unwrap_or_default();
                let git = path.contains('/') && path.strip_suffix(".git").is_some();
                Some(if git { Remote::Git } else { Remote::Url })
            }
            "git" | "ssh" => Some(Remote::Git),
            _ => None,
        };
    }
    is_scp_like(source).then_some(Remote::Git)
}

/// `user@host:path`
fn is_scp_like(source: &str) -> bool {
    let Some((user, rest)) = source.split_once('@') else { return false };
    let Some((host, _)) = rest.split_once(':') else { return false };
    let word = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    word(user, b"-_") && word(host, b"-_.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_urls_and_repositories() {
        for (source, want) in [
            ("a/b", None),
            ("host/x/y.git", None),
            ("a@b", None),
            ("ftp://x/y", None),
            ("https://x/y.tar.gz", Some(Remote::Url)),
            ("http://x", Some(Remote::Url)),
            ("https://x/y.git", Some(Remote::Git)),
            ("https://x/y.git#main:sub", Some(Remote::Git)),
            ("https://x/y.git?ref=main", Some(Remote::Git)),
            ("git://x/y", Some(Remote::Git)),
            ("ssh://git@x/y", Some(Remote::Git)),
            ("git@x.org:y/z.git", Some(Remote::Git)),
        ] {
            assert_eq!(classify(source), want, "{source}");
        }
    }
}
