//! Values of single build flags: pure, apart from files and variables that a flag names.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use jettison_engine::{Destination, LayerCompression, Output, Secret};
use jettison_oci::{Platform, Reference};

use crate::failure::Failure;
use crate::output_flag::csv;

/// Largest secret, bytes (BuildKit's limit is 500 KiB).
const SECRET_BYTES_MAX: u64 = 500 << 10;

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

/// `default` or `ID[=SOCKET]`: the agent of `SSH_AUTH_SOCK`, or the one at that socket. Keys in files are refused: they
/// would need an agent of our own. Source: buildx `util/buildflags/ssh.go`.
pub(super) fn agents(values: &[String]) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut agents = BTreeMap::new();
    for text in values {
        let (id, path) = match text.split_once('=') {
            Some((id, path)) => (id, PathBuf::from(path)),
            None => {
                let socket =
                    std::env::var_os("SSH_AUTH_SOCK").filter(|s| !s.is_empty()).ok_or_else(|| {
                        Failure::usage(format!("--ssh {text:?}: SSH_AUTH_SOCK is not set"))
                            .hint("start one with: eval $(ssh-agent); ssh-add")
                    })?;
                (text.as_str(), PathBuf::from(socket))
            }
        };
        if id.is_empty() {
            return Err(Failure::usage(format!("--ssh {text:?}: it has no id")));
        }
        let metadata =
            std::fs::metadata(&path).map_err(|e| Failure::io("open the ssh agent", path.display(), &e))?;
        if !std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) {
            return Err(Failure::usage(format!(
                "--ssh {text:?}: {} is no socket; keys in files are not supported",
                path.display()
            ))
            .hint("give the keys to an agent: eval $(ssh-agent); ssh-add FILE; then --ssh ID"));
        }
        let path = std::path::absolute(&path).unwrap_or(path);
        if agents.insert(id.to_owned(), path).is_some() {
            return Err(Failure::usage(format!("--ssh {text:?}: {id} is given twice")));
        }
    }
    Ok(agents)
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
    outputs.push(Output::Image { names: Vec::new(), push: true, compression: LayerCompression::default() });
    Ok(())
}

/// Checks that outputs do not contradict each other.
pub(super) fn check_outputs(outputs: &[Output], tags: &[Reference]) -> Result<(), Failure> {
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
