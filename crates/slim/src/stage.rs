//! The second stage: nothing but what runs, each file with its reason, and the config as it was.

use std::collections::BTreeSet;

use jettison_dockerfile::{Command, Instruction, Kind};
use jettison_inspect::View;
use jettison_inspect::proof::exec_form;
use jettison_oci::ContainerConfig;

use crate::program::Started;
use crate::source::{is_moved, lines_of};
use crate::{Error, Item, Refusal, Subject, health, shown};

/// Variables that only toolchains read.
const OF_BUILDS: &[&str] = &[
    "CGO_ENABLED",
    "GOOS",
    "GOARCH",
    "GOARM",
    "GOAMD64",
    "GOFLAGS",
    "GOPATH",
    "GOROOT",
    "GOBIN",
    "GOCACHE",
    "GOMODCACHE",
    "GOPROXY",
    "GOPRIVATE",
    "GONOSUMDB",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "GO111MODULE",
    "GOLANG_VERSION",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUST_VERSION",
    "RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "MAKEFLAGS",
    "PKG_CONFIG_PATH",
    "DEBIAN_FRONTEND",
    "PATH",
];
/// Variables of base images that programs read.
const OF_PROGRAMS: &[&str] = &["LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH"];

/// What the stage is made of.
pub(crate) struct Parts<'a> {
    pub(crate) started: &'a Started,
    pub(crate) items: &'a [Item],
    pub(crate) config: &'a ContainerConfig,
    pub(crate) build_stage: &'a str,
    pub(crate) makes_temporary_files: bool,
}

/// The config that the new image will have, as far as a start depends on it.
pub(crate) fn config(subject: &Subject<'_>, started: &Started) -> ContainerConfig {
    let mut config = subject.config.clone();
    let own: BTreeSet<&str> = subject
        .dockerfile
        .stages
        .iter()
        .flat_map(|stage| &stage.instructions)
        .filter_map(|i| if let Kind::Env(pairs) = &i.kind { Some(pairs) } else { None })
        .flat_map(|pairs| pairs.iter().map(|pair| pair.key.value.as_str()))
        .collect();
    config.env.retain(|entry| {
        let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
        OF_PROGRAMS.contains(&name) || (own.contains(name) && !OF_BUILDS.contains(&name))
    });
    config.shell = None;
    let split = if has_entrypoint(subject.config) {
        // A shell-form ENTRYPOINT takes no notice of CMD.
        let entrypoint = subject.config.entrypoint.as_ref().map_or(0, Vec::len);
        if started.argv.len() < entrypoint { started.argv.len() } else { entrypoint.max(1) }
    } else {
        0
    };
    let (entrypoint, cmd) = started.argv.split_at(split.min(started.argv.len()));
    config.entrypoint = (!entrypoint.is_empty()).then(|| entrypoint.to_vec());
    config.cmd = (!cmd.is_empty()).then(|| cmd.to_vec());
    if !is_set(subject, |kind| matches!(kind, Kind::Workdir(_))) {
        config.working_dir.clear();
    }
    config
}

fn has_entrypoint(config: &ContainerConfig) -> bool {
    config.entrypoint.as_ref().is_some_and(|words| !words.is_empty())
}

fn is_set(subject: &Subject<'_>, is: impl Fn(&Kind) -> bool) -> bool {
    subject.dockerfile.stages.iter().flat_map(|stage| &stage.instructions).any(|i| is(&i.kind))
}

/// The text of the stage.
pub(crate) fn write(subject: &Subject<'_>, view: &View<'_>, parts: &Parts<'_>) -> Result<String, Error> {
    let config = parts.config;
    let mut text =
        String::from("# What runs: the files that are named here, and nothing else.\nFROM scratch\n");
    for item in parts.items {
        text.push_str(&format!("# {}\n{}\n", item.why, copy(item, parts.build_stage)?));
    }
    for entry in &config.env {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        text.push_str(&format!("ENV {name}={}\n", quoted(subject, value)?));
    }
    text.push_str(&folders_and_user(subject, view, parts)?);
    let last = subject.dockerfile.stages.last().expect("checked");
    for (index, instruction) in last.instructions.iter().enumerate() {
        let is_written_below = matches!(
            instruction.kind,
            Kind::Cmd(_) | Kind::Entrypoint(_) | Kind::User(_) | Kind::Healthcheck(_)
        );
        if is_moved(last, index) && !is_written_below {
            text.push_str(&moved(subject, instruction)?);
        }
    }
    if let Some(check) = &config.healthcheck {
        text.push_str(&health::write(subject, check));
    }
    text.push_str(&command(subject, parts));
    Ok(text)
}

fn folders_and_user(subject: &Subject<'_>, view: &View<'_>, parts: &Parts<'_>) -> Result<String, Error> {
    let config = parts.config;
    let mut text = String::new();
    let directory = (!matches!(config.working_dir.as_str(), "" | "/")).then_some(&config.working_dir);
    let is_owned = match directory {
        Some(directory) => view
            .walk(directory.as_bytes(), &jettison_inspect::Identity::root())?
            .found()
            .is_some_and(|place| place.node.uid != 0),
        None => false,
    };
    let workdir =
        |path: &str| -> Result<String, Error> { Ok(format!("WORKDIR {}\n", quoted(subject, path)?)) };
    let why = "# The program starts here, as before: relative paths mean what they meant.\n";
    if let Some(directory) = directory.filter(|_| !is_owned && !parts.makes_temporary_files) {
        text.push_str(why);
        text.push_str(&workdir(directory)?);
    }
    if !config.user.is_empty() {
        text.push_str(&format!("USER {}\n", quoted(subject, &config.user)?));
    }
    if parts.makes_temporary_files {
        text.push_str(
            "# The program may make temporary files: a folder for them, which its user may write to.\n",
        );
        text.push_str(&workdir("/tmp")?);
    }
    match directory {
        Some(directory) if is_owned || parts.makes_temporary_files => {
            text.push_str(why);
            text.push_str(&workdir(directory)?);
        }
        None if parts.makes_temporary_files => text.push_str(&workdir("/")?),
        _ => {}
    }
    Ok(text)
}

/// `COPY --from=build /a /a`
fn copy(item: &Item, build_stage: &str) -> Result<String, Error> {
    let owner = item.owner.map(|(uid, gid)| format!(" --chown={uid}:{gid}")).unwrap_or_default();
    let mut paths = Vec::new();
    for path in [&item.source, &item.destination] {
        let text = std::str::from_utf8(path)
            .ok()
            .filter(|text| !text.chars().any(|c| c.is_control() || "$*?[]\\\"`".contains(c)));
        let text = text.ok_or_else(|| {
            Refusal::new(format!("the name {:?} cannot be written in a COPY instruction", shown(path)))
        })?;
        paths.push(text.to_owned());
    }
    let words = if paths.iter().any(|path| path.contains(' ')) { exec_form(&paths) } else { paths.join(" ") };
    Ok(format!("COPY --from={build_stage}{owner} {words}"))
}

/// A value in quotes.
fn quoted(subject: &Subject<'_>, value: &str) -> Result<String, Error> {
    let escape = subject.dockerfile.directives.escape_char();
    if value.contains('\n') || value.contains('\r') {
        return Err(
            Refusal::new("a variable has a value of several lines, which cannot be written anew").into()
        );
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/:,@%+-=".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return Ok(value.to_owned());
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        if c == '"' || c == '$' || c == escape {
            text.push(escape);
        }
        text.push(c);
    }
    text.push('"');
    Ok(text)
}

/// An instruction as it stands, or with its variables resolved.
fn moved(subject: &Subject<'_>, instruction: &Instruction) -> Result<String, Error> {
    let (start, end) = lines_of(subject.source, instruction);
    let as_written = &subject.source[start..end];
    if !instruction.text.contains('$') {
        let end = if as_written.ends_with('\n') { "" } else { "\n" };
        return Ok(format!("{as_written}{end}"));
    }
    let config = subject.config;
    let list = |keyword: &str, names: Vec<&str>| format!("{keyword} {}\n", names.join(" "));
    Ok(match &instruction.kind {
        Kind::Expose(_) => list("EXPOSE", config.exposed_ports.keys().map(String::as_str).collect()),
        Kind::Volume(_) => {
            let names: Vec<String> = config.volumes.keys().cloned().collect();
            format!("VOLUME {}\n", exec_form(&names))
        }
        Kind::Stopsignal(_) => format!("STOPSIGNAL {}\n", config.stop_signal.as_deref().unwrap_or("SIGTERM")),
        Kind::Label(pairs) => {
            let mut text = String::new();
            for pair in pairs.iter().filter(|pair| !pair.key.value.contains('$')) {
                let key = pair.key.value.trim_matches('"');
                if let Some(value) = config.labels.get(key) {
                    text.push_str(&format!("LABEL {key}={}\n", quoted(subject, value)?));
                }
            }
            text
        }
        _ => String::new(),
    })
}

/// ENTRYPOINT and CMD: as written if they say the same, else anew with the reason.
fn command(subject: &Subject<'_>, parts: &Parts<'_>) -> String {
    let last = subject.dockerfile.stages.last().expect("checked");
    let mut text = String::new();
    if let Some(change) = &parts.started.change {
        text.push_str(&format!("# {change}\n"));
    }
    for (keyword, words) in [("ENTRYPOINT", &parts.config.entrypoint), ("CMD", &parts.config.cmd)] {
        let Some(words) = words else { continue };
        let as_written = last.instructions.iter().rev().find(|i| match &i.kind {
            Kind::Entrypoint(Command::Exec(written)) => keyword == "ENTRYPOINT" && written == words,
            Kind::Cmd(Command::Exec(written)) => keyword == "CMD" && written == words,
            _ => false,
        });
        match as_written {
            Some(instruction) => {
                let (start, end) = lines_of(subject.source, instruction);
                text.push_str(subject.source[start..end].trim_end());
                text.push('\n');
            }
            None => text.push_str(&format!("{keyword} {}\n", exec_form(words))),
        }
    }
    text
}
