//! `jettison build`: from arguments to a build request, and from its outcome to what scripts read.
//!
//! Pure parsing of single flags is in `build_flags.rs`; what a build is, in the engine.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jettison_engine::{BuildOutcome, BuildRequest, ContextSource, DockerfileSource, build, write_atomically};
use jettison_oci::{Platform, Reference};
use serde_json::{Map, Value, json};

use super::build_flags as flags;
use super::{docker_daemon, names, print};
use crate::args::{Build, Network, Progress};
use crate::environment::{self, Environment};
use crate::failure::{Failure, Kind, text_with_places};
use crate::output_flag;
use crate::progress::{View, print_summary};

/// Largest Dockerfile that is read, bytes.
const DOCKERFILE_BYTES_MAX: u64 = 16 << 20;
/// RUN steps at the same time for each core: steps often wait for the network, so more than one.
const STEPS_PER_CORE: usize = 4;

pub(crate) fn run(args: Build, environment: &Environment) -> Result<ExitCode, Failure> {
    let request = request(&args)?;
    let mode = if args.quiet { Progress::Quiet } else { args.progress };
    let source = text_with_places(&request.dockerfile.text);
    let result = carry_out(&args, &request, environment, mode, &source);
    match result {
        Ok(code) => Ok(code),
        Err(failure) if failure.canceled => Err(failure),
        Err(failure) => {
            failure.print(Some((&request.dockerfile.name, &source)), environment::stderr_has_colour());
            Ok(ExitCode::from(failure.kind as u8))
        }
    }
}

fn carry_out(
    args: &Build,
    request: &BuildRequest,
    environment: &Environment,
    mode: Progress,
    source: &str,
) -> Result<ExitCode, Failure> {
    environment.require_namespaces()?;
    let store = environment.store()?;
    let registry = environment.registry()?;
    let view = View::start(mode, &request.dockerfile.name, source);
    let outcome = build(request, &store, &registry, &view, &environment.cancel);
    view.finish(outcome.is_ok());
    let outcome = outcome?;
    if args.load {
        docker_daemon::load(&store, &request.tags, &outcome)?;
    }
    if let (Some(path), Some(image)) = (&args.iidfile, &outcome.image) {
        write_atomically(path, image.manifest.digest.to_string().as_bytes())?;
    }
    if let Some(path) = &args.metadata_file {
        let text =
            serde_json::to_string_pretty(&metadata(&outcome)).expect("a JSON value can always be written");
        write_atomically(path, format!("{text}\n").as_bytes())?;
    }
    let shown = mode != Progress::Quiet && mode != Progress::None;
    if let (Some(image), true) = (&outcome.image, shown) {
        print_summary(image);
    }
    let stdout_taken = request.outputs.iter().any(flags::writes_to_stdout);
    match &outcome.image {
        Some(image) if !stdout_taken => print(&format!("{}\n", image.manifest.digest)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn request(args: &Build) -> Result<BuildRequest, Failure> {
    let (dockerfile, context) = dockerfile_and_context(args)?;
    let tags = args.tags.iter().map(|t| names::reference(t)).collect::<Result<Vec<Reference>, _>>()?;
    let build_args = flags::build_args(&args.build_args)?;
    let epoch_argument =
        build_args.iter().rev().find(|(n, _)| n == "SOURCE_DATE_EPOCH").map(|(_, v)| v.as_str());
    let mut outputs = args.outputs.iter().map(|o| output_flag::parse(o)).collect::<Result<Vec<_>, _>>()?;
    if args.push {
        flags::push(&mut outputs, &tags)?;
    }
    flags::check_outputs(&outputs, &tags)?;
    let platform = match &args.platform {
        None => None,
        Some(list) if list.contains(',') => {
            return Err(Failure::usage(format!(
                "--platform {list}: several platforms are not supported yet"
            )));
        }
        Some(text) => Some(text.parse::<Platform>().map_err(Failure::usage)?),
    };
    let (contexts, named_contexts) = flags::build_contexts(&args.build_contexts)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(BuildRequest {
        epoch_seconds: environment::source_date_epoch(epoch_argument)?,
        plan: jettison_plan::Options {
            target: args.target.clone(),
            labels: flags::pairs("--label", &args.labels)?,
            platform,
            build_platform: None,
            build_args,
            network: match args.network {
                Network::Default => jettison_plan::Network::Default,
                Network::None => jettison_plan::Network::None,
                Network::Host => jettison_plan::Network::Host,
            },
            no_cache: args.no_cache,
            contexts,
        },
        dockerfile,
        context,
        named_contexts,
        tags,
        outputs,
        pull: args.pull,
        extra_hosts: flags::add_hosts(&args.add_hosts)?,
        secrets: flags::secrets(&args.secrets)?,
        agents: flags::agents(&args.ssh)?,
        threads: cores,
        steps_max: args.jobs.unwrap_or(cores * STEPS_PER_CORE).max(1),
    })
}

fn dockerfile_and_context(args: &Build) -> Result<(DockerfileSource, ContextSource), Failure> {
    let context = &args.context;
    if flags::is_remote(context) {
        return Err(Failure::usage(format!("{context}: contexts from a URL or git are not supported yet"))
            .hint("fetch it and give the folder"));
    }
    if context == "-" {
        if args.file.as_deref().is_some_and(|f| f != "-") {
            return Err(Failure::usage("a context on standard input (tar) is not supported yet")
                .hint("`-` alone reads a Dockerfile; unpack the tar and give the folder"));
        }
        let text = read_stdin()?;
        return Ok((DockerfileSource { name: "-".to_owned(), path: None, text }, ContextSource::Empty));
    }
    let folder = PathBuf::from(context);
    match std::fs::metadata(&folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(Failure::usage(format!("{context} is not a folder"))
                .hint("the argument is the build context; name the Dockerfile with -f"));
        }
        Err(error) => return Err(Failure::io("open the context", context, &error)),
    }
    let source = match args.file.as_deref() {
        Some("-") => DockerfileSource { name: "-".to_owned(), path: None, text: read_stdin()? },
        Some(file) if flags::is_remote(file) => {
            return Err(Failure::usage(format!("{file}: a Dockerfile from a URL is not supported yet")));
        }
        Some(file) => read_dockerfile(Path::new(file), file.to_owned())?,
        None => default_dockerfile(&folder)?,
    };
    Ok((source, ContextSource::Folder(folder)))
}

/// `Dockerfile`, else `dockerfile`, in the context.
fn default_dockerfile(folder: &Path) -> Result<DockerfileSource, Failure> {
    for name in ["Dockerfile", "dockerfile"] {
        let path = folder.join(name);
        if path.exists() {
            let shown = path.strip_prefix("./").unwrap_or(&path).display().to_string();
            return read_dockerfile(&path, shown);
        }
    }
    Err(Failure::new(Kind::Dockerfile, format!("there is no Dockerfile in {}", folder.display()))
        .hint("name it with -f FILE"))
}

fn read_dockerfile(path: &Path, name: String) -> Result<DockerfileSource, Failure> {
    let file = std::fs::File::open(path).map_err(|e| Failure::io("open", &name, &e))?;
    let text = read_limited(file, &name)?;
    Ok(DockerfileSource { name, path: Some(path.to_owned()), text })
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    read_limited(std::io::stdin().lock(), "standard input")
}

fn read_limited(from: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read = from
        .take(DOCKERFILE_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|e| Failure::io("read", name, &e))?;
    if read as u64 > DOCKERFILE_BYTES_MAX {
        return Err(Failure::new(Kind::Dockerfile, format!("{name} is larger than 16 MiB")));
    }
    Ok(text)
}

/// The keys of buildx's `--metadata-file`.
fn metadata(outcome: &BuildOutcome) -> Value {
    let mut map = Map::new();
    if let Some(image) = &outcome.image {
        map.insert("containerimage.config.digest".into(), json!(image.config));
        map.insert("containerimage.descriptor".into(), json!(image.manifest));
        map.insert("containerimage.digest".into(), json!(image.manifest.digest));
    }
    if !outcome.tagged.is_empty() {
        let names: Vec<String> = outcome.tagged.iter().map(ToString::to_string).collect();
        map.insert("image.name".into(), json!(names.join(",")));
    }
    Value::Object(map)
}
