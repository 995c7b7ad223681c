//! `jettison run`: starts an image in the sandbox that builds use; its exit code is ours.
//!
//! The container's files are a snapshot that is thrown away. Source of the rules on argv, environment and exit codes
//! (125 we failed, 126 cannot be executed, 127 not found): `docker run`.

use std::process::ExitCode;

use jettison_engine::{kept, network_files};
use jettison_oci::{ContainerConfig, Platform};
use jettison_sandbox::{self as sandbox, Root, Spec, Stdio};
use jettison_store::{SnapshotId, Store};

use super::names;
use crate::args::{Network, Progress, Run};
use crate::environment::Environment;
use crate::failure::{Failure, Kind};
use crate::progress;

/// What stands before the name of files that a failed step left.
const KEPT: &str = "step:";

/// PATH of an image that sets none. Source: BuildKit `util/system/path.go`.
pub(crate) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) fn run(args: Run, environment: &Environment) -> Result<ExitCode, Failure> {
    match start(&args, environment) {
        Ok(code) => Ok(code),
        Err(failure) if failure.canceled => Err(failure),
        Err(failure) => {
            failure.print(None, crate::environment::stderr_has_colour());
            Ok(ExitCode::from(failure.container_code()))
        }
    }
}

fn start(args: &Run, environment: &Environment) -> Result<ExitCode, Failure> {
    environment.require_namespaces()?;
    let store = environment.store()?;
    let registry = environment.registry()?;
    let _in_use = store.use_shared()?;
    if let Some(name) = args.image.strip_prefix(KEPT) {
        let (snapshot, world) = kept(&store, name)?.ok_or_else(|| {
            Failure::new(Kind::Image, format!("nothing was kept under {:?}", args.image))
                .hint("build with --on-failure=keep; prune removes what was kept")
        })?;
        let config = ContainerConfig {
            env: world.env,
            working_dir: world.cwd,
            user: world.user,
            cmd: Some(vec!["/bin/sh".to_owned()]),
            ..ContainerConfig::default()
        };
        return execute(args, environment, &store, Some(&snapshot), &config);
    }
    let images = environment.images(&store, &registry);
    let platform = Platform::host();
    let reference = args.image.parse().ok();
    let image = match names::find(&store, &args.image) {
        Ok((name, descriptor)) => {
            let label = name.or(reference).unwrap_or_else(|| "image".parse().expect("a valid name"));
            images.from_store(&label, &descriptor, &platform)?
        }
        Err(_) => None,
    };
    let image = match image {
        Some(image) => image,
        None => images.resolve(&names::reference(&args.image)?, &platform, false)?,
    };
    let snapshot = match images.unpacked(&image)? {
        Some(snapshot) => snapshot,
        None => {
            let name = format!("unpack {}", args.image);
            progress::transfer(Progress::Auto, "Unpacking", &name, |progress| {
                Ok(images.unpack(&image, progress)?)
            })?
        }
    };
    execute(args, environment, &store, snapshot.as_ref(), &image.config.config)
}

/// A shell in what a failed step left.
pub(super) fn look_at(name: &str, environment: &Environment) -> Result<ExitCode, Failure> {
    let image = format!("{KEPT}{name}");
    let line = ["jettison", "run", image.as_str()];
    let parsed = <crate::args::Cli as clap::Parser>::try_parse_from(line).map_err(Failure::usage)?;
    let crate::args::Command::Run(args) = parsed.command else { unreachable!("it says run") };
    start(&args, environment)
}

fn execute(
    args: &Run,
    environment: &Environment,
    store: &Store,
    snapshot: Option<&SnapshotId>,
    config: &ContainerConfig,
) -> Result<ExitCode, Failure> {
    let draft = store.begin_snapshot(snapshot)?;
    let root = if draft.lowers().is_empty() {
        Root::Directory(draft.fs().to_owned())
    } else {
        Root::Overlay {
            lowers: draft.lowers().to_vec(),
            upper: draft.fs().to_owned(),
            work: draft.work().to_owned(),
        }
    };
    let spec = spec(args, config, root)?;
    let mut child = sandbox::spawn(&spec)?;
    let killer = child.killer();
    let guard = environment.cancel.guard(move || killer.kill());
    let exit = child.wait()?;
    drop(guard);
    Ok(ExitCode::from(u8::try_from(exit.shell_code()).unwrap_or(1)))
}

fn spec(args: &Run, config: &ContainerConfig, root: Root) -> Result<Spec, Failure> {
    let mut argv: Vec<String> = match &args.entrypoint {
        Some(program) => vec![program.clone()],
        None => config.entrypoint.clone().unwrap_or_default(),
    };
    if !args.command.is_empty() {
        argv.extend(args.command.iter().cloned());
    } else if args.entrypoint.is_none() {
        argv.extend(config.cmd.clone().unwrap_or_default());
    }
    if argv.is_empty() {
        return Err(Failure::new(Kind::Failed, "the image has no ENTRYPOINT and no CMD")
            .hint("name a program behind the image"));
    }
    let mut environment = ContainerConfig { env: config.env.clone(), ..ContainerConfig::default() };
    for text in &args.env {
        match text.split_once('=') {
            Some((name, value)) => environment.set_env(name, value),
            None => {
                if let Ok(value) = std::env::var(text) {
                    environment.set_env(text, &value);
                }
            }
        }
    }
    if environment.env_value("PATH").is_none() {
        environment.env.insert(0, DEFAULT_PATH.to_owned());
    }
    let mut spec = Spec::new(root, argv);
    spec.env = environment.env;
    let working_dir = args.workdir.clone().unwrap_or_else(|| config.working_dir.clone());
    spec.cwd = if working_dir.is_empty() { "/".to_owned() } else { working_dir };
    spec.user = args.user.clone().unwrap_or_else(|| config.user.clone());
    spec.hostname = "jettison".to_owned();
    spec.hosts = network_files::hosts(&spec.hostname, &[]);
    spec.resolv_conf = network_files::resolv_conf(&std::fs::read("/etc/resolv.conf").unwrap_or_default());
    spec.network = match args.network {
        Network::None => sandbox::Network::None,
        Network::Default | Network::Host => sandbox::Network::Host,
    };
    spec.stdio = Stdio::Inherit;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn argv(
        line: &[&str],
        entrypoint: Option<&[&str]>,
        cmd: Option<&[&str]>,
    ) -> Result<Vec<String>, Failure> {
        let words = ["jettison", "run"].iter().chain(line);
        let crate::args::Command::Run(args) = crate::args::Cli::parse_from(words).command else { panic!() };
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let config = ContainerConfig {
            entrypoint: entrypoint.map(own),
            cmd: cmd.map(own),
            ..ContainerConfig::default()
        };
        spec(&args, &config, Root::Directory("/x".into())).map(|s| s.argv)
    }

    #[test]
    fn argv_as_docker_run_has_it() {
        assert_eq!(argv(&["i"], Some(&["/e"]), Some(&["a"])).unwrap(), ["/e", "a"]);
        assert_eq!(argv(&["i", "b", "-c"], Some(&["/e"]), Some(&["a"])).unwrap(), ["/e", "b", "-c"]);
        assert_eq!(argv(&["--entrypoint", "/f", "i"], Some(&["/e"]), Some(&["a"])).unwrap(), ["/f"]);
        assert!(argv(&["i"], None, None).is_err());
    }
}
