//! The value of `RUN --mount`: one CSV record of `key=value` fields (BuildKit: instructions/commands_runmount.go).
//!
//! The record is split first and its values are expanded one by one, so that a comma in a variable stays in its value:
//! [`parse_expanding`]. Keys are taken from left to right: `required` and `size` need their `type=` before them.
//! Other than BuildKit, `from=` may hold variables: its users ask for that.
//! What depends on the stage (WORKDIR, default targets and identifiers) is left to the planner.
//!
//! Read next: `csv.rs` and `size.rs` for the two small formats inside.

mod csv;
mod size;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::expand::{Env, expand};
use crate::suggest;

/// What a mount is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MountType {
    /// Files of the context, a stage or an image (the default).
    #[default]
    Bind,
    /// A directory that survives builds.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret as file or variable.
    Secret,
    /// An SSH agent's socket.
    Ssh,
}

impl MountType {
    const ALL: [Self; 5] = [Self::Bind, Self::Cache, Self::Tmpfs, Self::Secret, Self::Ssh];

    /// The word in `type=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

impl fmt::Display for MountType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who may use a cache mount at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Everyone (the default).
    #[default]
    Shared,
    /// Each user its own copy.
    Private,
    /// One after the other.
    Locked,
}

/// A mount as written; defaults that depend on the stage (WORKDIR, identifiers) are not filled in.
///
/// An empty value is the same as an absent key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawMount {
    /// `type`.
    pub mount_type: MountType,
    /// `target`, `dst`, `destination`.
    pub target: Option<String>,
    /// `source`, `src`. A secret's source is its identifier and stands in `id`.
    pub source: Option<String>,
    /// `from`: stage, image or named context.
    pub from: Option<String>,
    /// `ro`, `readonly` (true), `rw`, `readwrite` (false), or the default of the type: caches and tmpfs are writable.
    pub read_only: bool,
    /// `id`.
    pub id: Option<String>,
    /// `sharing`.
    pub sharing: Sharing,
    /// `mode`, an octal number.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
    /// `size` of a tmpfs in bytes.
    pub size_bytes: Option<u64>,
    /// `required`.
    pub required: bool,
    /// `env`: the variable that holds a secret.
    pub env: Option<String>,
}

/// Reads a value of `--mount` in which nothing is left to expand. The error is a sentence in BuildKit's words.
pub fn parse(csv: &str) -> Result<RawMount, String> {
    read(csv, &|value| Ok(value.to_owned()))
}

/// Reads a value of `--mount` as written, expanding each of its values. The error is a sentence in BuildKit's words.
pub fn parse_expanding(csv: &str, escape: char, env: &dyn Env) -> Result<RawMount, String> {
    read(csv, &|value| {
        expand(value, escape, env).map(|expanded| expanded.text).map_err(|error| error.message)
    })
}

/// What can be said before expansion: whether it is CSV.
pub(crate) fn check_unexpanded(text: &str) -> Result<(), String> {
    record(text).map(|_| ())
}

fn record(text: &str) -> Result<Vec<String>, String> {
    csv::record(text).map_err(|reason| format!("failed to parse csv mounts: {reason}"))
}

type Expand<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// What is not in the result but decides whether it holds together.
#[derive(Default)]
struct Given {
    read_only: Option<bool>,
    sharing: Option<Sharing>,
}

fn read(text: &str, expand: Expand<'_>) -> Result<RawMount, String> {
    let mut mount = RawMount::default();
    let mut given = Given::default();
    for field in record(text)? {
        match field.split_once('=') {
            None => set_switch(&mut mount, &mut given, &field)?,
            Some((key, value)) => {
                let key = key.to_lowercase();
                set(&mut mount, &mut given, &key, &expand(value)?, &field)?;
            }
        }
    }
    let writable = matches!(mount.mount_type, MountType::Cache | MountType::Tmpfs);
    mount.read_only = given.read_only.unwrap_or(!writable);
    mount.sharing = given.sharing.unwrap_or_default();
    validate(&mut mount, given.sharing.is_some())?;
    Ok(mount)
}

/// A key without a value.
fn set_switch(mount: &mut RawMount, given: &mut Given, field: &str) -> Result<(), String> {
    match field.to_lowercase().as_str() {
        "readonly" | "ro" => given.read_only = Some(true),
        "readwrite" | "rw" => given.read_only = Some(false),
        "required" => {
            only_for(mount, "required", &[MountType::Secret, MountType::Ssh])?;
            mount.required = true;
        }
        _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
    }
    Ok(())
}

fn set(mount: &mut RawMount, given: &mut Given, key: &str, value: &str, field: &str) -> Result<(), String> {
    let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
    let number = |radix| {
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let number = u32::from_str_radix(value, radix).ok().filter(|_| digits);
        number.map(Some).ok_or_else(|| format!("invalid value {value} for {key}"))
    };
    let boolean = || parse_bool(value).ok_or_else(|| format!("invalid value for {key}: {value}"));
    match key {
        "type" => mount.mount_type = mount_type(value)?,
        "from" => mount.from = text(),
        "source" | "src" => mount.source = text(),
        "target" | "dst" | "destination" => mount.target = text(),
        "readonly" | "ro" => given.read_only = Some(boolean()?),
        "readwrite" | "rw" => given.read_only = Some(!boolean()?),
        "required" => {
            only_for(mount, key, &[MountType::Secret, MountType::Ssh])?;
            mount.required = boolean()?;
        }
        "size" => {
            only_for(mount, key, &[MountType::Tmpfs])?;
            let size = size::parse(value).ok_or_else(|| format!("invalid value for {key}: {value}"))?;
            mount.size_bytes = Some(size);
        }
        "id" => mount.id = text(),
        "sharing" => given.sharing = Some(sharing(value)?),
        "mode" => mount.mode = number(8)?,
        "uid" => mount.uid = number(10)?,
        "gid" => mount.gid = number(10)?,
        "env" => mount.env = text(),
        _ => return Err(with_suggestion(format!("unexpected key '{key}' in '{field}'"), key, &KEYS)),
    }
    Ok(())
}

/// The keys, for suggestions.
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

fn only_for(mount: &RawMount, key: &str, types: &[MountType]) -> Result<(), String> {
    if types.contains(&mount.mount_type) {
        return Ok(());
    }
    Err(format!("unexpected key '{key}' for mount type '{}'", mount.mount_type))
}

fn mount_type(value: &str) -> Result<MountType, String> {
    let lower = value.to_lowercase();
    MountType::ALL.into_iter().find(|known| known.name() == lower).ok_or_else(|| {
        let names = MountType::ALL.map(MountType::name);
        with_suggestion(format!("unsupported mount type {value:?}"), value, &names)
    })
}

fn sharing(value: &str) -> Result<Sharing, String> {
    match value.to_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        _ => {
            let message = format!("unsupported sharing value {value:?}");
            Err(with_suggestion(message, value, &["shared", "private", "locked"]))
        }
    }
}

fn with_suggestion(message: String, word: &str, names: &[&str]) -> String {
    match suggest::nearest(word, names.iter().copied()) {
        Some(near) => format!("{message} (did you mean {near}?)"),
        None => message,
    }
}

/// Go's strconv.ParseBool.
fn parse_bool(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

fn validate(mount: &mut RawMount, has_sharing: bool) -> Result<(), String> {
    let kind = mount.mount_type;
    if matches!(kind, MountType::Bind | MountType::Tmpfs) {
        for (key, value) in [("mode", mount.mode), ("uid", mount.uid), ("gid", mount.gid)] {
            if value.is_some() {
                return Err(format!("{key} not allowed for {:?} type mounts", kind.name()));
            }
        }
    }
    if kind == MountType::Secret {
        if mount.from.is_some() {
            return Err("secret mount should not have a from".to_owned());
        }
        if has_sharing {
            return Err("secret mount should not define sharing".to_owned());
        }
        if mount.source.is_none() && mount.target.is_none() && mount.id.is_none() {
            return Err("invalid secret mount. one of source, target required".to_owned());
        }
        if mount.source.is_some() && mount.id.is_some() {
            return Err("both source and id can't be set".to_owned());
        }
        mount.id = mount.source.take().or(mount.id.take());
    }
    if kind == MountType::Ssh && mount.source.is_some() {
        return Err("ssh does not support source".to_owned());
    }
    if has_sharing && kind != MountType::Cache {
        return Err(format!("invalid cache sharing set for {kind} mount"));
    }
    Ok(())
}
