//! A case: one text file in the format txtar, as Go's tools use it.
//!
//! ```text
//! What the case shows, in words.
//! since: 1.4                the first version of the language that has it (docker/dockerfile:1.4); optional
//!
//! -- Dockerfile --          a file of the context
//! FROM scratch
//! COPY a /
//! -- a --
//! its content
//! -- setup --               a shell script that completes the context; optional
//! ln -s a link
//! -- arguments --           added to the command, one a line; optional
//! --target=x
//! -- expected --            what must come out
//! ```

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Name of the section with what must come out.
const EXPECTED: &str = "expected";

/// A version of the language: major, minor.
pub type Version = (u32, u32);

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Path below the folder of all cases, without its ending: `copy/single_file`.
    pub name: String,
    /// Where it was read from.
    pub path: PathBuf,
    /// The first version of the language that has what it uses; older builders skip it.
    pub since: Option<Version>,
    /// Words to add to the command.
    pub arguments: Vec<String>,
    /// What must come out.
    pub expected: String,
    files: Vec<(String, String)>,
    setup: Option<String>,
}

/// All cases below `folder`, sorted by name.
///
/// # Errors
/// A folder that cannot be read, or a file that is no case, named.
pub fn all(folder: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    collect(folder, folder, &mut cases)?;
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

fn collect(root: &Path, folder: &Path, cases: &mut Vec<Case>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, cases)?;
        } else if path.extension().is_some_and(|ending| ending == "txtar") {
            let name = path.strip_prefix(root)?.with_extension("").display().to_string();
            let text = std::fs::read_to_string(&path)?;
            cases.push(Case::parse(&name, &path, &text).with_context(|| format!("in {}", path.display()))?);
        }
    }
    Ok(())
}

impl Case {
    /// The case that `text` is.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(name: &str, path: &Path, text: &str) -> Result<Self> {
        let mut case = Self {
            name: name.to_owned(),
            path: path.to_owned(),
            since: None,
            arguments: Vec::new(),
            expected: String::new(),
            files: Vec::new(),
            setup: None,
        };
        let (about, sections) = sections(text);
        ensure!(!about.trim().is_empty(), "it does not begin with what it shows");
        for line in about.lines() {
            if let Some(version) = line.strip_prefix("since: ") {
                case.since = Some(parse_version(version)?);
            }
        }
        for (section, content) in sections {
            match section {
                "setup" => case.setup = Some(content),
                "arguments" => case.arguments = content.lines().map(str::to_owned).collect(),
                EXPECTED => case.expected = content,
                file => case.files.push((file.to_owned(), content)),
            }
        }
        Ok(case)
    }

    /// One of its files.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files.iter().find(|(other, _)| other == name).map(|(_, content)| content.as_str())
    }

    /// Makes the context in `folder`, which must not exist.
    ///
    /// # Errors
    /// A file that cannot be written, or a setup that fails.
    pub fn lay_out(&self, folder: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir_all(folder)?;
        for (name, content) in &self.files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().context("a file without a folder")?)?;
            std::fs::write(&path, content)?;
        }
        set_modes(folder)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        let Some(setup) = &self.setup else { return Ok(()) };
        let script = format!("set -e\numask 022\n{setup}");
        let mut shell = Command::new("sh");
        let done = shell.args(["-c", &script]).current_dir(folder).stdin(Stdio::null()).output()?;
        if !done.status.success() {
            bail!("the setup of {} failed: {}", self.name, String::from_utf8_lossy(&done.stderr));
        }
        Ok(())
    }

    /// Puts `outcome` in the place of what is expected, in the file.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn rewrite(&self, outcome: &str) -> Result<()> {
        let text = std::fs::read_to_string(&self.path)?;
        let marker = format!("-- {EXPECTED} --\n");
        let kept = text.find(&marker).map_or(text.as_str(), |at| &text[..at]);
        std::fs::write(&self.path, format!("{kept}{marker}{outcome}"))?;
        Ok(())
    }
}

/// The same modes whatever the umask: 0755 and 0644.
fn set_modes(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        if path.is_dir() {
            set_modes(&path)?;
        }
    }
    Ok(())
}

/// The words before the first section, and the sections with their names.
fn sections(text: &str) -> (String, Vec<(&str, String)>) {
    let mut about = String::new();
    let mut sections: Vec<(&str, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        let name = line.trim_end().strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --"));
        match (name, sections.last_mut()) {
            (Some(name), _) => sections.push((name, String::new())),
            (None, Some((_, content))) => content.push_str(line),
            (None, None) => about.push_str(line),
        }
    }
    (about, sections)
}

fn parse_version(text: &str) -> Result<Version> {
    let (major, minor) = text.trim().split_once('.').context("a version has two parts")?;
    Ok((major.parse()?, minor.parse()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const TEXT: &str = "Shows this.\nsince: 1.4\n\n-- Dockerfile --\nFROM scratch\n-- d/a --\n-- setup --\n\
                        chmod 700 d\n-- arguments --\n--a b\n-- expected --\nold\n";

    #[test]
    fn a_case_is_read_laid_out_and_rewritten() {
        let folder = std::env::temp_dir().join(format!("jettison-case-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("x.txtar");
        std::fs::write(&path, TEXT).unwrap();
        let case = &all(&folder).unwrap()[0];
        assert_eq!((case.name.as_str(), case.since, case.expected.as_str()), ("x", Some((1, 4)), "old\n"));
        assert_eq!(case.arguments, ["--a b"]);
        let context = folder.join("context");
        case.lay_out(&context).unwrap();
        assert_eq!(std::fs::read_to_string(context.join("d/a")).unwrap(), "");
        case.rewrite("new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), TEXT.replace("old", "new"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_case_says_what_it_shows() {
        assert!(Case::parse("x", Path::new("x"), "-- Dockerfile --\nFROM scratch\n").is_err());
    }
}
