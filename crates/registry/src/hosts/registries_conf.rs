//! `registries.conf`, version 2: mirrors, other locations, insecure and blocked registries.
//!
//! Source: containers-registries.conf(5), containers-registries.conf.d(5). What is about short names
//! (`unqualified-search-registries`, `aliases`) is not used: names are expanded as Docker does it. Where to read next:
//! `mod.rs`, which turns the answer into places to ask.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jettison_oci::Reference;
use serde::Deserialize;

use crate::{Error, Result};

/// All files together.
#[derive(Clone, Debug, Default)]
pub(crate) struct RegistriesConf {
    /// By prefix.
    tables: BTreeMap<String, Table>,
    /// Suffixes of credential programs; the word for the auth files is left out.
    pub(crate) credential_programs: Vec<String>,
}

/// One `[[registry]]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Table {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    #[serde(rename = "pull-from-mirror")]
    pull: PullFrom,
}

/// What a mirror is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    #[default]
    #[serde(alias = "")]
    All,
    DigestOnly,
    TagOnly,
}

/// A place that may hold an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Host, with port.
    pub(crate) host: String,
    /// Repository there.
    pub(crate) repository: String,
    /// Plain http and unverified https are allowed.
    pub(crate) insecure: bool,
}

/// The files to read: the user's if there are any, otherwise the system's.
pub(crate) fn default_file(home: Option<&Path>, xdg_config: Option<&Path>) -> PathBuf {
    let base = xdg_config.map(Path::to_owned).or_else(|| home.map(|home| home.join(".config")));
    let user = base.map(|base| base.join("containers/registries.conf"));
    user.filter(|path| path.exists()).unwrap_or_else(|| "/etc/containers/registries.conf".into())
}

impl RegistriesConf {
    /// Reads `file`, then the drop-ins in the directory `file` + `.d`.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let mut conf = Self::default();
        conf.merge_file(file)?;
        let mut dir = file.as_os_str().to_owned();
        dir.push(".d");
        let mut drop_ins: Vec<PathBuf> = match fs::read_dir(&dir) {
            Ok(entries) => entries.filter_map(|e| e.ok().map(|e| e.path())).collect(),
            Err(_) => Vec::new(),
        };
        drop_ins.retain(|path| path.extension().is_some_and(|e| e == "conf"));
        drop_ins.sort();
        for path in &drop_ins {
            conf.merge_file(path)?;
        }
        Ok(conf)
    }

    fn merge_file(&mut self, path: &Path) -> Result<()> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(e) => return Err(Error::File { path: path.to_owned(), reason: e.to_string() }),
        };
        self.merge(&text).map_err(|reason| Error::File { path: path.to_owned(), reason })
    }

    /// Adds one text; its tables replace earlier ones with the same prefix.
    pub(crate) fn merge(&mut self, text: &str) -> Result<(), String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Document {
            #[serde(default)]
            registry: Vec<Table>,
            credential_helpers: Option<Vec<String>>,
        }
        let document: Document = toml::from_str(text).map_err(|e| toml_error(text, &e))?;
        if let Some(programs) = document.credential_helpers {
            self.credential_programs = programs.into_iter().filter(|p| p != "containers-auth.json").collect();
        }
        for mut table in document.registry {
            table.location.truncate(table.location.trim_end_matches('/').len());
            table.prefix.truncate(table.prefix.trim_end_matches('/').len());
            if table.prefix.is_empty() {
                table.prefix.clone_from(&table.location);
            }
            if table.prefix.is_empty() {
                return Err("a [[registry]] needs a prefix or a location".to_owned());
            }
            let wildcard = table.prefix.strip_prefix("*.");
            if wildcard.unwrap_or(&table.prefix).contains('*')
                || wildcard.is_some_and(|w| w.contains(['/', ':', '@']))
            {
                return Err(format!(
                    "prefix {:?}: a wildcard stands at the start of a host only",
                    table.prefix
                ));
            }
            if table.location.is_empty() && wildcard.is_none() {
                table.location.clone_from(&table.prefix);
            }
            for mirror in &mut table.mirror {
                mirror.location.truncate(mirror.location.trim_end_matches('/').len());
                if mirror.location.is_empty() {
                    return Err(format!("a mirror of {:?} has no location", table.prefix));
                }
            }
            self.tables.insert(table.prefix.clone(), table);
        }
        Ok(())
    }

    /// Where to pull `reference` from, in order: mirrors, then the registry itself.
    pub(crate) fn pull_places(&self, reference: &Reference) -> Result<Vec<Place>> {
        let own = |insecure| Place {
            host: reference.host().to_owned(),
            repository: reference.repository().to_owned(),
            insecure,
        };
        let Some((table, rest)) = self.find(reference) else { return Ok(vec![own(false)]) };
        if table.blocked {
            return Err(Error::Blocked { name: reference.name() });
        }
        let by_digest = reference.digest().is_some();
        let usable = |mirror: &&Mirror| match mirror.pull {
            PullFrom::All => by_digest || !table.mirror_by_digest_only,
            PullFrom::DigestOnly => by_digest,
            PullFrom::TagOnly => !by_digest && !table.mirror_by_digest_only,
        };
        let mut places: Vec<Place> = table
            .mirror
            .iter()
            .filter(usable)
            .filter_map(|mirror| place(&mirror.location, &rest, mirror.insecure))
            .collect();
        places.push(place(&table.location, &rest, table.insecure).unwrap_or_else(|| own(table.insecure)));
        Ok(places)
    }

    /// Where to push `reference`: itself. Mirrors and other locations are for pulling only.
    pub(crate) fn push_place(&self, reference: &Reference) -> Place {
        Place {
            host: reference.host().to_owned(),
            repository: reference.repository().to_owned(),
            insecure: self.find(reference).is_some_and(|(table, _)| table.insecure),
        }
    }

    /// Whether anything is said to be insecure at `host`.
    pub(crate) fn is_insecure(&self, host: &str) -> bool {
        let at_host = |location: &str| location.split('/').next() == Some(host);
        self.tables.values().any(|table| {
            table.insecure && (at_host(&table.location) || at_host(&table.prefix))
                || table.mirror.iter().any(|mirror| mirror.insecure && at_host(&mirror.location))
        })
    }

    /// The table with the longest matching prefix, and what stands behind the prefix in the name.
    fn find(&self, reference: &Reference) -> Option<(&Table, String)> {
        let mut names = vec![reference.name()];
        names.extend(reference.tag().map(|tag| format!("{}:{tag}", reference.name())));
        names.extend(reference.digest().map(|digest| format!("{}@{digest}", reference.name())));
        let candidates = self.tables.values().filter_map(|table| {
            let rest = if let Some(domain) = table.prefix.strip_prefix('*') {
                reference.host().ends_with(domain).then(|| format!("/{}", reference.repository()))
            } else {
                names.iter().find_map(|name| {
                    let rest = name.strip_prefix(table.prefix.as_str())?;
                    // A whole component, and not a host without the port that belongs to it.
                    (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
                })
            };
            rest.map(|rest| (table, rest))
        });
        candidates.max_by_key(|(table, _)| table.prefix.len())
    }
}

/// One line with its number, instead of toml's picture.
fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, error.message())
}

/// `location` + `rest`, taken apart. The first component is always the host here, dots or not.
fn place(location: &str, rest: &str, insecure: bool) -> Option<Place> {
    let name = format!("{location}{rest}");
    let (host, repository) = name.split_once('/')?;
    let repository = repository.split('@').next().unwrap_or_default();
    let (host, repository) = (host.to_owned(), repository.to_owned());
    (!host.is_empty() && !repository.is_empty()).then_some(Place { host, repository, insecure })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> RegistriesConf {
        let mut conf = RegistriesConf::default();
        conf.merge(text).unwrap();
        conf
    }

    fn shown(conf: &RegistriesConf, reference: &str) -> Vec<String> {
        let places = conf.pull_places(&reference.parse().unwrap()).unwrap();
        places
            .iter()
            .map(|p| format!("{}/{}{}", p.host, p.repository, if p.insecure { " insecure" } else { "" }))
            .collect()
    }

    const MIRRORS: &str = r#"
        unqualified-search-registries = ["docker.io"]
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "digests.example"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tags.example"
        pull-from-mirror = "tag-only"

        [[registry]]
        prefix = "docker.io/library/special"
        location = "corp.example/copies/special"

        [[registry]]
        prefix = "*.dev.example"
        insecure = true

        [[registry]]
        prefix = "bad.example/team"
        blocked = true
    "#;

    #[test]
    fn mirrors_come_first_in_their_order() {
        let conf = conf(MIRRORS);
        assert_eq!(
            shown(&conf, "golang:1.11"),
            [
                "mirror:5000/hub/library/golang insecure",
                "tags.example/library/golang",
                "docker.io/library/golang"
            ]
        );
        let digest = jettison_oci::Digest::sha256(b"");
        assert_eq!(
            shown(&conf, &format!("golang@{digest}")),
            [
                "mirror:5000/hub/library/golang insecure",
                "digests.example/library/golang",
                "docker.io/library/golang"
            ]
        );
    }

    #[test]
    fn the_longest_prefix_wins() {
        let conf = conf(MIRRORS);
        assert_eq!(shown(&conf, "special"), ["corp.example/copies/special"]);
        assert_eq!(shown(&conf, "specialist").len(), 3);
        assert_eq!(shown(&conf, "a.b.dev.example/x/y"), ["a.b.dev.example/x/y insecure"]);
        assert_eq!(shown(&conf, "dev.example/x"), ["dev.example/x"]);
        assert_eq!(shown(&conf, "other.example:5000/x"), ["other.example:5000/x"]);
        let ported = conf.pull_places(&"docker.io:5000/x".parse().unwrap()).unwrap();
        assert_eq!(ported[0].host, "docker.io:5000");
    }

    #[test]
    fn blocked_and_pushes() {
        let conf = conf(MIRRORS);
        let error = conf.pull_places(&"bad.example/team/x".parse().unwrap()).unwrap_err();
        assert!(matches!(error, Error::Blocked { .. }));
        let push = conf.push_place(&"special".parse().unwrap());
        assert_eq!((push.host.as_str(), push.repository.as_str()), ("docker.io", "library/special"));
        assert!(conf.is_insecure("mirror:5000") && !conf.is_insecure("mirror"));
    }

    #[test]
    fn a_prefix_with_a_tag() {
        let conf = conf("[[registry]]\nprefix = \"r.example/a:old\"\nlocation = \"archive.example/a\"\n");
        assert_eq!(shown(&conf, "r.example/a:old"), ["archive.example/a"]);
        assert_eq!(shown(&conf, "r.example/a:new"), ["r.example/a"]);
    }

    #[test]
    fn drop_ins_replace_by_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("registries.conf");
        fs::write(&file, "[[registry]]\nlocation = \"a.example\"\ninsecure = true\n").unwrap();
        let drop_ins = dir.path().join("registries.conf.d");
        fs::create_dir(&drop_ins).unwrap();
        fs::write(drop_ins.join("10.conf"), "[[registry]]\nlocation = \"a.example\"\n").unwrap();
        fs::write(drop_ins.join("20.conf"), "credential-helpers = [\"containers-auth.json\", \"pass\"]\n")
            .unwrap();
        fs::write(drop_ins.join("README"), "not toml at all [").unwrap();
        let conf = RegistriesConf::read(&file).unwrap();
        assert!(!conf.is_insecure("a.example"));
        assert_eq!(conf.credential_programs, ["pass"]);
        assert!(RegistriesConf::read(&dir.path().join("none")).unwrap().tables.is_empty());
    }

    #[test]
    fn mistakes_are_named() {
        let mut conf = RegistriesConf::default();
        assert!(conf.merge("[[registry]]\ninsecure = true\n").unwrap_err().contains("prefix or a location"));
        assert!(conf.merge("[[registry]]\nprefix = \"a.*.b\"\n").unwrap_err().contains("wildcard"));
        let error = conf.merge("[[registry]]\nprefix = 3\n").unwrap_err();
        assert_eq!(error, "line 2: invalid type: integer `3`, expected a string");
    }
}
