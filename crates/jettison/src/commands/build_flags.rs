//! Values of single build flags: pure, apart from files and variables that a flag names.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jettison_engine::{Destination, LayerCompression, Output, Secret};
use jettison_oci::{Platform, Reference};

use super::build_limits::LOCAL_DELETE;
use crate::failure::Failure;
use crate::output_flag::csv;
use crate::ssh_keys::{Agent, Key};

/// Largest secret, bytes (BuildKit's limit is 500 KiB).
const SECRET_BYTES_MAX: u64 = 500 << 10;
/// Largest key file, bytes (BuildKit's limit).
const KEY_BYTES_MAX: u64 = 100 << 10;

/// `NAME=VALUE`, or `NAME` with the value of the environment (left out if there is none, as docker does).
pub(super) fn build_args(values: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut args = Vec::new();
    for text in values {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text.as_str(), std::env::var(text).ok()),
        };
        if name.is_empty() {
            return Err(Failure::usage(format!("--build-arg {text:?}: the name is empty")));
        }
        args.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(args)
}

/// `NAME=VALUE`; a bare name has an empty value.
pub(super) fn pairs(flag: &str, values: &[String]) -> Result<Vec<(String, String)>, Failure> {
    values
        .iter()
        .map(|text| match text.split_once('=').unwrap_or((text, "")) {
            ("", _) => Err(Failure::usage(format!("{flag} {text:?}: the name is empty"))),
            (name, value) => Ok((name.to_owned(), value.to_owned())),
        })
        .collect()
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; an IPv6 address may stand in brackets; `host-gateway` is this machine.
pub(super) fn add_hosts(values: &[String]) -> Result<Vec<(String, IpAddr)>, Failure> {
    values
        .iter()
        .map(|text| {
            let invalid = || Failure::usage(format!("--add-host {text:?}: expected NAME:ADDRESS"));
            let (name, address) = text
                .split_once('=')
                .or_else(|| text.split_once(':'))
                .filter(|(n, _)| !n.is_empty())
                .ok_or_else(invalid)?;
            // Steps are on the host's network, so the gateway to the host is the loopback interface.
            let address = if address == "host-gateway" { "127.0.0.1" } else { address };
            let address = address.trim_start_matches('[').trim_end_matches(']');
            Ok((name.to_owned(), address.parse().map_err(|_| invalid())?))
        })
        .collect()
}

/// `id=ID[,src=FILE|,env=NAME][,type=file|env]`. Source: buildx `util/buildflags/secrets.go`.
pub(super) fn secrets(values: &[String]) -> Result<BTreeMap<String, Secret>, Failure> {
    let mut secrets = BTreeMap::new();
    for text in values {
        let (mut id, mut source, mut variable, mut kind) = (None, None, None, None);
        for field in csv(text)? {
            match field.split_once('=') {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("src" | "source", value)) => source = Some(value.to_owned()),
                Some(("env", value)) => variable = Some(value.to_owned()),
                Some(("type", value @ ("file" | "env"))) => kind = Some(value.to_owned()),
                _ => return Err(Failure::usage(format!("--secret {text:?}: {field:?} is not known"))),
            }
        }
        let id = id.ok_or_else(|| Failure::usage(format!("--secret {text:?}: it has no id")))?;
        let is_variable = match kind.as_deref() {
            Some(kind) => kind == "env",
            None => variable.is_some() || (source.is_none() && std::env::var_os(&id).is_some()),
        };
        let value = if is_variable {
            let name = variable.or(source).unwrap_or_else(|| id.clone());
            let value = std::env::var_os(&name).ok_or_else(|| {
                Failure::usage(format!("--secret {text:?}: the variable {name} is not set"))
            })?;
            std::os::unix::ffi::OsStringExt::into_vec(value)
        } else {
            read_secret(&source.unwrap_or_else(|| id.clone()))?
        };
        secrets.insert(id, Secret(value));
    }
    Ok(secrets)
}

fn read_secret(path: &str) -> Result<Vec<u8>, Failure> {
    let metadata = std::fs::metadata(path).map_err(|e| Failure::io("read the secret", path, &e))?;
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(Failure::usage(format!("the secret {path} is larger than 500 KiB")));
    }
    std::fs::read(path).map_err(|e| Failure::io("read the secret", path, &e))
}

/// One platform, or several; `local` is this machine's. One is what the planner takes, several make an index.
pub(super) fn platforms(text: Option<&str>) -> Result<(Option<Platform>, Vec<Platform>), Failure> {
    let mut list: Vec<Platform> = Vec::new();
    for word in text.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let platform = match word {
            "local" => Platform::host(),
            word => word.parse::<Platform>().map_err(Failure::usage)?,
        };
        if platform.os == "windows" {
            return Err(Failure::usage(format!("--platform {word}: images for Windows cannot be made"))
                .hint(
                    "their layers are laid out in a way of their own; name a platform such as linux/amd64",
                ));
        }
        if !list.contains(&platform) {
            list.push(platform);
        }
    }
    match &list[..] {
        [] => Ok((None, Vec::new())),
        [only] => Ok((Some(only.clone()), Vec::new())),
        _ => Ok((None, list)),
    }
}

/// Refuses what cannot hold an index. Source: BuildKit `exporter/oci` ("docker exporter does not currently support
/// exporting manifest lists").
pub(super) fn check_for_index(outputs: &[Output], load: bool) -> Result<(), Failure> {
    let is_docker = |output: &Output| {
        matches!(output, Output::Archive { format: jettison_engine::ArchiveFormat::Docker, .. })
    };
    if load || outputs.iter().any(is_docker) {
        return Err(Failure::usage(
            "docker's archive cannot hold an index: several platforms, or attestations",
        )
        .hint("use type=oci, or push it, or load one platform without attestations"));
    }
    Ok(())
}

/// `default` or `ID[=SOCKET|=KEY[,KEY…]]`: the agent of `SSH_AUTH_SOCK`, the one at that socket, or one of our own that
/// has these keys, for as long as it is kept in `started`. Source: buildx `util/buildflags/ssh.go`.
pub(super) fn agents(
    values: &[String],
    started: &mut Vec<Agent>,
) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut agents = BTreeMap::new();
    for text in values {
        let wrong = |reason: String| Failure::usage(format!("--ssh {text:?}: {reason}"));
        let (id, paths) = text.split_once('=').unwrap_or((text, ""));
        let paths: Vec<&str> = paths.split(',').filter(|path| !path.is_empty()).collect();
        if id.is_empty() {
            return Err(wrong("it has no id".to_owned()));
        }
        let socket = match &paths[..] {
            [] => std::env::var_os("SSH_AUTH_SOCK").filter(|s| !s.is_empty()).map(PathBuf::from).ok_or_else(
                || {
                    wrong("SSH_AUTH_SOCK is not set".to_owned())
                        .hint("start an agent with: eval $(ssh-agent); ssh-add; or give a key: --ssh ID=FILE")
                },
            )?,
            [only] if is_socket(only)? => PathBuf::from(only),
            keys => {
                let keys = keys.iter().map(|path| key(path)).collect::<Result<Vec<Key>, Failure>>()?;
                let agent = Agent::start(keys)
                    .map_err(|error| Failure::io("start an ssh agent for", text, &error))?;
                let socket = agent.socket();
                started.push(agent);
                socket
            }
        };
        if !is_socket(&socket)? {
            return Err(wrong(format!("{} is no socket", socket.display())));
        }
        let socket = std::path::absolute(&socket).unwrap_or(socket);
        if agents.insert(id.to_owned(), socket).is_some() {
            return Err(wrong(format!("{id} is given twice")));
        }
    }
    Ok(agents)
}

fn is_socket(path: impl AsRef<Path>) -> Result<bool, Failure> {
    let path = path.as_ref();
    let metadata =
        std::fs::metadata(path).map_err(|e| Failure::io("open the ssh agent or key", path.display(), &e))?;
    Ok(std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()))
}

/// A private key in a file.
fn key(path: &str) -> Result<Key, Failure> {
    let wrong = |reason: &dyn std::fmt::Display| Failure::usage(format!("--ssh: {path}: {reason}"));
    if is_socket(path)? {
        return Err(wrong(&"it is the socket of an agent, which cannot be given beside others")
            .hint("give it an id of its own: --ssh ID=SOCKET"));
    }
    let file = std::fs::File::open(path).map_err(|e| Failure::io("read the ssh key", path, &e))?;
    let mut text = Vec::new();
    let read = file.take(KEY_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|e| Failure::io("read the ssh key", path, &e))?;
    if text.len() as u64 > KEY_BYTES_MAX {
        return Err(wrong(&"it is larger than 100 KiB, so it is no key"));
    }
    Key::parse(&String::from_utf8_lossy(&text), path).map_err(|error| {
        wrong(&error).hint("a key that we cannot use can be given to an agent: eval $(ssh-agent); ssh-add FILE; then --ssh ID")
    })
}

/// `--push` is `--output type=registry`, or `push=true` of the image output that is there.
pub(super) fn push(outputs: &mut Vec<Output>, tags: &[Reference]) -> Result<(), Failure> {
    for output in outputs.iter_mut() {
        if let Output::Image { push, .. } = output {
            *push = true;
            return Ok(());
        }
    }
    if tags.is_empty() {
        return Err(Failure::usage("--push needs a name").hint("give one with -t REGISTRY/REPOSITORY:TAG"));
    }
    let compression = LayerCompression::default();
    outputs.push(Output::Image {
        names: Vec::new(),
        push: true,
        by_digest: false,
        digest_name: None,
        compression,
    });
    Ok(())
}

/// Checks that outputs do not contradict each other.
pub(super) fn check_outputs(
    outputs: &[Output],
    tags: &[Reference],
    allowed: &[String],
) -> Result<(), Failure> {
    if outputs.iter().filter(|o| writes_to_stdout(o)).count() > 1 {
        return Err(
            Failure::usage("only one output can go to standard output").hint("give the others dest=FILE")
        );
    }
    if outputs.iter().any(writes_to_stdout) && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return Err(
            Failure::usage("an archive does not belong on a terminal").hint("use dest=FILE, or a pipe")
        );
    }
    for output in outputs {
        if let Output::Local { destination, delete: true, .. } = output
            && !allowed.iter().any(|word| word == LOCAL_DELETE)
        {
            let what = format!("mode=delete would remove what {} holds beside", destination.display());
            return Err(Failure::usage(what).hint(format!("allow it with --allow {LOCAL_DELETE}")));
        }
        if let Output::Image { names, push: true, .. } = output
            && names.is_empty()
            && tags.is_empty()
        {
            return Err(Failure::usage("type=registry needs a name").hint("give one with -t or name="));
        }
    }
    Ok(())
}

/// Whether the output takes standard output, so that the digest must not be printed there.
pub(super) fn writes_to_stdout(output: &Output) -> bool {
    matches!(
        output,
        Output::Archive { destination: Destination::Stdout, .. }
            | Output::Tar { destination: Destination::Stdout, .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_in_both_forms() {
        let hosts = |text: &str| add_hosts(&[text.to_owned()]).map(|h| h[0].1.to_string());
        assert_eq!(hosts("db:10.0.0.2").unwrap(), "10.0.0.2");
        assert_eq!(hosts("db=[::1]").unwrap(), "::1");
        assert_eq!(hosts("db:host-gateway").unwrap(), "127.0.0.1");
        assert!(hosts("db").is_err() && hosts(":1.2.3.4").is_err() && hosts("db:x").is_err());
    }

    #[test]
    fn secrets_from_files_are_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "hunter2").unwrap();
        let secrets = secrets(&[format!("id=a,src={}", file.path().display())]).unwrap();
        assert_eq!(secrets["a"].0, b"hunter2");
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }
}
