//! The user's own defaults: `jettison/config.toml`, with values as on the command line.
//!
//! What is typed counts first, then variables, then this file. Keys: `verify`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use crate::args::VerifyMode;
use crate::failure::Failure;

/// The modes that were asked for with `--verify`, else those of the file, else `warn`.
pub(crate) fn verify(typed: &[VerifyMode]) -> Result<Vec<VerifyMode>, Failure> {
    if !typed.is_empty() {
        return Ok(typed.to_vec());
    }
    let Some(path) =
        file(&|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
    else {
        return Ok(vec![VerifyMode::Warn]);
    };
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::io("read", path.display(), &error))?;
    let modes = read(&text).map_err(|reason| {
        Failure::usage(format!("{}: {}", path.display(), reason.trim_end().replace('\n', " ")))
            .hint("for example: verify = \"error\"")
    })?;
    Ok(modes.unwrap_or_else(|| vec![VerifyMode::Warn]))
}

/// `JETTISON_CONFIG`, else the user's file if there is one, else the machine's.
fn file(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if let Some(path) = variable("JETTISON_CONFIG") {
        return Some(path);
    }
    let absolute = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let user = absolute.or_else(|| variable("HOME").map(|home| home.join(".config")));
    let places = user.into_iter().chain([PathBuf::from("/etc")]);
    places.map(|folder| folder.join("jettison/config.toml")).find(|path| Path::exists(path))
}

fn read(text: &str) -> Result<Option<Vec<VerifyMode>>, String> {
    let mut pairs: BTreeMap<String, String> = toml::from_str(text).map_err(|error| error.to_string())?;
    let modes = pairs.remove("verify").map(|value| {
        value.split(',').map(|mode| VerifyMode::from_str(mode.trim(), false)).collect::<Result<_, _>>()
    });
    match pairs.keys().next() {
        Some(key) => Err(format!("unknown key {key:?}; there is: verify")),
        None => modes.transpose().map_err(|reason| format!("verify: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says() {
        assert_eq!(read("# nothing\n"), Ok(None));
        assert_eq!(read("verify = \"run, error\""), Ok(Some(vec![VerifyMode::Run, VerifyMode::Error])));
        for (text, words) in [
            ("verfy = \"off\"", "\"verfy\""),
            ("verify = \"of\"", "verify: "),
            ("verify = 1", "string"),
            ("x", "x"),
        ] {
            let reason = read(text).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[test]
    fn where_the_file_lies() {
        let none = file(&|_| None).filter(|path| !path.starts_with("/etc"));
        assert_eq!(none, None);
        let named = file(&|name| (name == "JETTISON_CONFIG").then(|| PathBuf::from("/x/y.toml")));
        assert_eq!(named, Some(PathBuf::from("/x/y.toml")));
    }
}
