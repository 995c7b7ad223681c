//! The text of a Git source: `REPOSITORY[?KEY=VALUE&…][#REF[:SUBDIR]]`.
//!
//! Source: BuildKit `dfgitutil/git_ref.go` (loadQuery) and `util/gitutil/git_url.go`.

use super::percent_decoded;

/// A commit of a Git repository, and what of it is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Git {
    /// The repository, for the program `git`. May hold a password: never show it, see [`super::redacted`].
    pub url: String,
    /// Branch, tag or commit; `None`: what HEAD of the repository names.
    pub reference: Option<String>,
    /// A directory of it; `None`: all.
    pub subdir: Option<String>,
    /// The commit, or the beginning of it, that must come out; hexadecimal digits in lower case.
    pub checksum: Option<String>,
    /// Whether `.git` is kept; `None`: nobody has said.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are fetched; `None`: nobody has said, so they are.
    pub submodules: Option<bool>,
    /// Whether files are dated as the commit; `None`: nobody has said.
    pub commit_time: Option<bool>,
}

impl Git {
    /// What `text` means, if it means a repository.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        if text.starts_with("./") || text.starts_with("../") {
            return Ok(None);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "http" | "https" => {
                    let path = rest.split(['#', '?']).next().unwrap_or_default();
                    let is_git =
                        path.split_once('/').is_some_and(|(_, path)| path.strip_suffix(".git").is_some());
                    if is_git { Self::split(text).map(Some) } else { Ok(None) }
                }
                "git" | "ssh" => Self::split(text).map(Some),
                _ => Ok(None),
            };
        }
        if is_scp_like(text) { Self::split(text).map(Some) } else { Ok(None) }
    }

    /// What `text` means, which is a repository whatever its path ends in.
    pub(super) fn parse_https(text: &str) -> Result<Self, String> {
        Self::split(text)
    }

    fn split(text: &str) -> Result<Self, String> {
        let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (url, query) = address.split_once('?').unwrap_or((address, ""));
        // A URL that begins with a dash would be an option of git or ssh.
        if url.starts_with('-') || url.contains("://-") || url.contains(char::is_control) {
            return Err(format!("{:?} is no address of a repository", super::redacted(url)));
        }
        let mut git = Self { url: url.to_owned(), ..Self::default() };
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        git.reference = Some(percent_decoded(reference)).filter(|text| !text.is_empty());
        git.subdir = Some(percent_decoded(subdir)).filter(|text| !text.is_empty());
        git.load_query(query)?;
        if let Some(bad) = git.reference.as_ref().filter(|r| !is_usable(r)) {
            return Err(format!("{bad:?} is no name of a branch, tag or commit"));
        }
        Ok(git)
    }

    fn load_query(&mut self, query: &str) -> Result<(), String> {
        let mut seen: Vec<String> = Vec::new();
        let (mut tag, mut branch) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| percent_decoded(&text.replace('+', " "));
            let (key, value) = (decoded(key), decoded(value));
            if seen.contains(&key) {
                return Err(format!("query {key:?} has multiple values"));
            }
            if value.is_empty() && !matches!(key.as_str(), "submodules" | "keep-git-dir" | "fetch-by-commit")
            {
                return Err(format!("query {key:?} has no value"));
            }
            match key.as_str() {
                "ref" => set("ref", &mut self.reference, value)?,
                "tag" => tag = Some(value),
                "branch" => branch = Some(value),
                "subdir" => set("subdir", &mut self.subdir, value)?,
                "checksum" | "commit" => set(&key, &mut self.checksum, checksum(&value)?)?,
                "keep-git-dir" => self.keep_git_dir = Some(boolean(&key, &value)?),
                "submodules" => self.submodules = Some(boolean(&key, &value)?),
                // How it is fetched is our business; what comes out is the same.
                "fetch-by-commit" => drop(boolean(&key, &value)?),
                "mtime" => {
                    self.commit_time = Some(match value.as_str() {
                        "commit" => true,
                        "checkout" => false,
                        _ => return Err(format!("invalid mtime value: {value:?}")),
                    });
                }
                _ => return Err(format!("unexpected query {key:?}")),
            }
            seen.push(key);
        }
        if tag.is_some() && branch.is_some() {
            return Err("branch conflicts with tag".to_owned());
        }
        for (prefix, name) in [("refs/tags/", tag), ("refs/heads/", branch)] {
            if let Some(name) = name {
                let full = if name.starts_with(prefix) { name } else { format!("{prefix}{name}") };
                set("ref", &mut self.reference, full)?;
            }
        }
        if self.reference.is_none() {
            self.reference = self.checksum.clone();
        }
        Ok(())
    }

    /// Sets what `--checksum` says.
    ///
    /// # Errors
    /// It is no commit, or another one than the URL says.
    pub fn set_checksum(&mut self, text: &str) -> Result<(), String> {
        set("checksum", &mut self.checksum, checksum(text)?)
    }

    /// Sets what `--keep-git-dir` says.
    ///
    /// # Errors
    /// The URL says the opposite.
    pub fn set_keep_git_dir(&mut self, keep: bool) -> Result<(), String> {
        if self.keep_git_dir.is_some_and(|said| said != keep) {
            return Err("--keep-git-dir conflicts with keep-git-dir of the URL".to_owned());
        }
        self.keep_git_dir = Some(keep);
        Ok(())
    }

    /// The reference, if it is a whole commit.
    pub fn commit(&self) -> Option<&str> {
        self.reference.as_deref().filter(|text| is_commit(text))
    }

    /// Whether it is reached over ssh.
    pub fn is_ssh(&self) -> bool {
        self.url.starts_with("ssh://") || !self.url.contains("://")
    }

    /// As people write it, without credentials.
    pub fn shown(&self) -> String {
        let mut text = super::redacted(&self.url);
        if self.reference.is_some() || self.subdir.is_some() {
            text.push('#');
            text.push_str(self.reference.as_deref().unwrap_or_default());
        }
        if let Some(subdir) = &self.subdir {
            text.push(':');
            text.push_str(subdir);
        }
        text
    }
}

fn set(key: &str, to: &mut Option<String>, value: String) -> Result<(), String> {
    match to {
        Some(said) if *said != value => Err(format!("{key} conflicts: {said:?} vs {value:?}")),
        _ => {
            *to = Some(value);
            Ok(())
        }
    }
}

/// Go's `strconv.ParseBool`; an empty value is true.
fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("invalid {key} value: {value:?}")),
    }
}

/// A commit or the beginning of one.
fn checksum(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    if (1..=64).contains(&lower.len()) && lower.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(lower);
    }
    Err(format!("invalid checksum {text:?}: a commit, or the beginning of one, is expected"))
}

/// A whole commit: SHA-1 or SHA-256, in lower case.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What may stand in a ref name (git-check-ref-format), as far as it could hurt as an argument or pattern.
fn is_usable(reference: &str) -> bool {
    let bad = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    !reference.starts_with('-') && !reference.contains("..") && !reference.contains(bad)
}

/// `user@host:path`
fn is_scp_like(source: &str) -> bool {
    let Some((user, rest)) = source.split_once('@') else { return false };
    let Some((host, _)) = rest.split_once(':') else { return false };
    let word = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    word(user, b"-_") && !user.starts_with('-') && word(host, b"-_.") && !host.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(text: &str) -> Git {
        Git::parse(text).unwrap().unwrap()
    }

    #[test]
    fn fragments_and_queries() {
        let g = git("https://x/y.git#v1:a/b");
        assert_eq!(
            (g.url.as_str(), g.reference.as_deref(), g.subdir.as_deref()),
            ("https://x/y.git", Some("v1"), Some("a/b"))
        );
        assert_eq!(git("https://x/y.git#:sub").reference, None);
        let g = git("https://x/y.git?tag=v1&subdir=a%20b&keep-git-dir&submodules=false&mtime=commit");
        assert_eq!(g.reference.as_deref(), Some("refs/tags/v1"));
        assert_eq!(g.subdir.as_deref(), Some("a b"));
        assert_eq!((g.keep_git_dir, g.submodules, g.commit_time), (Some(true), Some(false), Some(true)));
        assert_eq!(git("git@x.org:y.git?branch=main").url, "git@x.org:y.git");
        assert_eq!(git("git@x.org:y.git?branch=main").reference.as_deref(), Some("refs/heads/main"));
        let commit = "0123456789012345678901234567890123456789";
        assert_eq!(git(&format!("https://x/y.git?commit={commit}")).commit(), Some(commit));
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for (text, want) in [
            ("https://x/y.git?ref=a#b", "ref conflicts"),
            ("https://x/y.git?tag=a&branch=b", "branch conflicts with tag"),
            ("https://x/y.git?ref=a&ref=a", "multiple values"),
            ("https://x/y.git?ref=", "has no value"),
            ("https://x/y.git?depth=1", "unexpected query"),
            ("https://x/y.git?keep-git-dir=maybe", "invalid keep-git-dir"),
            ("https://x/y.git?checksum=xyz", "invalid checksum"),
            ("https://x/y.git#--upload-pack=x", "is no name of a branch"),
            ("https://x/y.git#a..b", "is no name of a branch"),
            ("ssh://-oProxyCommand=x/y", "is no address"),
        ] {
            let error = Git::parse(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert_eq!(Git::parse("-x@host:y"), Ok(None));
    }

    #[test]
    fn flags_must_not_contradict_the_url() {
        let mut g = git("https://x/y.git?keep-git-dir=false&checksum=ab");
        assert!(g.set_keep_git_dir(true).is_err() && g.set_keep_git_dir(false).is_ok());
        assert!(g.set_checksum("cd").is_err() && g.set_checksum("AB").is_ok());
    }
}
