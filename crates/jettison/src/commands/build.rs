//! `jettison build`: from arguments to a build request, and from its outcome to what scripts read.
//!
//! Pure parsing of single flags is in `build_flags.rs`, contexts and Dockerfiles are opened in `build_inputs.rs`; what a
//! build is, in the engine.

use std::io::IsTerminal;
use std::process::ExitCode;

use jettison_engine::event::{Event, Sink as _, Verdict};
use jettison_engine::{
    Attestations, BuildOutcome, BuildRequest, BuiltImage, Output, build, write_atomically,
};
use jettison_oci::Reference;
use serde_json::{Map, Value, json};

use super::build_flags as flags;
use super::build_inputs::{Inputs, NamedContexts, Session};
use super::build_limits as limits;
use super::{brought, docker_daemon, epoch, last_build, names, print, report};
use crate::args::{Build, Network, OnFailure, Progress};
use crate::attestations;
use crate::docker_config;
use crate::docker_flags;
use crate::environment::{self, Environment};
use crate::failure::{Failure, text_with_places};
use crate::output_flag;
use crate::progress::{View, print_summary};
use crate::proof;
use crate::settings;

/// RUN steps at the same time for each core: steps often wait for the network, so more than one.
const STEPS_PER_CORE: usize = 4;

pub(crate) fn run(args: Build, environment: &Environment) -> Result<ExitCode, Failure> {
    let mode = if args.quiet { Progress::Quiet } else { args.progress };
    args.docker.refuse()?;
    let session = Session::new(environment, mode);
    let mut request = request(&args, &session)?;
    let (control_groups, notices) = args.limits.control_groups()?;
    request.control_groups = control_groups;
    let areas = report::Areas::default();
    if args.report.is_some() {
        areas.measure(&mut request);
    }
    let source = text_with_places(&request.dockerfile.text);
    let result = carry_out(&args, (&request, &notices), &session, mode, (&source, &areas));
    match result {
        Ok(code) => Ok(code),
        Err(failure) if failure.canceled => Err(failure),
        Err(failure) => {
            failure.print(Some((&request.dockerfile.name, &source)), environment::stderr_has_colour());
            let interactive = args.on_failure == Some(OnFailure::Shell) && std::io::stdin().is_terminal();
            if let Some(name) = failure.kept.as_ref().filter(|_| interactive) {
                // Whatever is done in the shell, the build has failed.
                super::run::look_at(name, environment)?;
            }
            Ok(ExitCode::from(failure.kind as u8))
        }
    }
}

fn carry_out(
    args: &Build,
    (request, notices): (&BuildRequest, &[String]),
    session: &Session<'_>,
    mode: Progress,
    (source, areas): (&str, &report::Areas),
) -> Result<ExitCode, Failure> {
    let (store, registry) = session.open()?;
    let view = View::start(mode, &request.dockerfile.name, source);
    let inline_cache = is_set(&request.plan.build_args, "BUILDKIT_INLINE_CACHE")
        .then(|| "BUILDKIT_INLINE_CACHE is without effect: no cache is written into images".to_owned());
    for notice in args.docker.notices().iter().chain(notices).chain(&inline_cache) {
        view.emit(Event::Notice(notice.clone()));
    }
    let outcome = build(request, store, registry, &view, &session.environment.cancel);
    view.finish(outcome.is_ok());
    let record = last_build::remember(store, &view, outcome.as_ref().ok(), areas.take());
    if let Some(path) = &args.report {
        report::write(path, &record)?;
    }
    if let Err(jettison_engine::Error::Refused(verdict)) = &outcome {
        proof::print(verdict, &request.dockerfile.name, source);
    }
    let outcome = outcome?;
    if args.load {
        docker_daemon::load(store, &request.tags, &outcome)?;
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
    if let Some(image) = &outcome.image {
        // What only this build knows is looked at even if it is not said: the next one says it.
        let brought = |image: &BuiltImage| {
            (shown || image.chain.listing.is_some()).then(|| brought::of(store, image)).flatten()
        };
        let brought: Vec<_> = image.images().map(brought).collect();
        if shown {
            print_summary(image, &brought);
        }
    }
    let stdout_taken = request.outputs.iter().any(flags::writes_to_stdout);
    if let (Some(image), false) = (&outcome.image, stdout_taken) {
        print(&format!("{}\n", image.manifest.digest))?;
    }
    // Last of all, so that it is what people see.
    let told = |verdict: &Verdict| mode != Progress::Rawjson && proof::is_told(verdict, args.quiet, shown);
    for verdict in proof::of_platforms(&outcome.verdicts).iter().filter(|verdict| told(verdict)) {
        proof::print(verdict, &request.dockerfile.name, source);
    }
    Ok(ExitCode::SUCCESS)
}

/// What `--output` says; registries that one with `registry.insecure` sends to are trusted from now on.
fn parsed_outputs(
    texts: &[String],
    tags: &[Reference],
    session: &Session<'_>,
) -> Result<Vec<output_flag::Parsed>, Failure> {
    let parsed = texts.iter().map(|text| output_flag::parse(text)).collect::<Result<Vec<_>, _>>()?;
    for output in parsed.iter().filter(|output| output.insecure) {
        if let Output::Image { names, .. } = &output.output {
            session.trust(names.iter().chain(tags).map(|name| name.host().to_owned()));
        }
    }
    Ok(parsed)
}

pub(super) fn request(args: &Build, session: &Session<'_>) -> Result<BuildRequest, Failure> {
    let tags = args.tags.iter().map(|t| names::reference(t)).collect::<Result<Vec<Reference>, _>>()?;
    let build_args = docker_config::with_proxies(flags::build_args(&args.build_args)?)?;
    let parsed = parsed_outputs(&args.outputs, &tags, session)?;
    let of_outputs = parsed.iter().flat_map(|o| &o.annotations);
    let annotations: Vec<String> = args.annotations.iter().chain(of_outputs).cloned().collect();
    let epoch_of_output = parsed.iter().find_map(|parsed| parsed.epoch_seconds);
    let artifact = parsed.iter().any(|output| output.artifact);
    let mut outputs: Vec<Output> = parsed.into_iter().map(|parsed| parsed.output).collect();
    if args.push {
        flags::push(&mut outputs, &tags)?;
    }
    flags::check_outputs(&outputs, &tags, &args.allow)?;
    let (platform, platforms) = flags::platforms(args.platform.as_deref())?;
    let attestations = Attestations { artifact, ..attestations::wanted(args, &outputs)? };
    let index = is_set(&build_args, "BUILDKIT_MULTI_PLATFORM") || attestations.wanted();
    if platforms.len() > 1 || index {
        flags::check_for_index(&outputs, args.load)?;
    }
    let secrets = flags::secrets(&args.secrets)?;
    let agents = flags::agents(&args.ssh, &mut session.agents.borrow_mut())?;
    let (extra_hosts, labels) = (flags::add_hosts(&args.add_hosts)?, flags::pairs("--label", &args.labels)?);
    // Last, because only now may something be fetched.
    let inputs = Inputs { session, secrets: &secrets, agents: &agents };
    let keep_git_dir = is_set(&build_args, "BUILDKIT_CONTEXT_KEEP_GIT_DIR");
    let (dockerfile, context) = inputs.dockerfile_and_context(args, keep_git_dir)?;
    let NamedContexts { contexts, files, known_images } = inputs.named(&args.build_contexts)?;
    let options = jettison_plan::Options { labels, platform, build_args, contexts, ..options(args) };
    let epoch_of_build = epoch::of_build(&epoch::Sources {
        options: &options,
        dockerfile: &dockerfile.text,
        context: &context,
        named: &files,
        time_of: &|remote| inputs.time_of(remote),
    })?;
    Ok(BuildRequest {
        epoch_seconds: epoch_of_output.or(epoch_of_build),
        plan: options,
        allow: limits::allow(&args.allow)?,
        keep_failed: args.on_failure.is_some(),
        shm_bytes: args.shm_size.as_deref().map(limits::shm_size).transpose()?,
        limits: limits::ulimits(&args.ulimits)?,
        control_groups: None,
        source_policy: docker_flags::source_policy()?,
        squash: args.squash,
        annotations: limits::annotations(&annotations, platforms.len() > 1 || index)?,
        platforms,
        index,
        dockerfile,
        context,
        named_contexts: files,
        known_images,
        tags,
        outputs,
        attestations,
        pull: args.pull,
        extra_hosts,
        secrets,
        agents,
        threads: cores(),
        steps_max: args.jobs.unwrap_or(cores() * STEPS_PER_CORE).max(1),
        inspector: proof::Prover::for_modes(&settings::verify(&args.verify)?),
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the flags say by themselves.
fn options(args: &Build) -> jettison_plan::Options {
    jettison_plan::Options {
        target: args.target.clone(),
        network: network(args.network),
        no_cache: args.no_cache,
        no_cache_filter: args.no_cache_filter.clone(),
        ..jettison_plan::Options::default()
    }
}

fn network(flag: Network) -> jettison_plan::Network {
    match flag {
        Network::Default => jettison_plan::Network::Default,
        Network::None => jettison_plan::Network::None,
        Network::Host => jettison_plan::Network::Host,
    }
}

/// Whether a build argument that means something to the builder is switched on.
fn is_set(build_args: &[(String, String)], name: &str) -> bool {
    let given = build_args.iter().rev().find(|(given, _)| given == name);
    given.is_some_and(|(_, value)| matches!(value.as_str(), "1" | "t" | "true"))
}

/// The keys of buildx's `--metadata-file`.
fn metadata(outcome: &BuildOutcome) -> Value {
    let mut map = Map::new();
    if let Some(image) = &outcome.image {
        if let Some(config) = &image.config {
            map.insert("containerimage.config.digest".into(), json!(config));
        }
        map.insert("containerimage.descriptor".into(), json!(image.manifest));
        map.insert("containerimage.digest".into(), json!(image.manifest.digest));
    }
    if !outcome.tagged.is_empty() {
        let names: Vec<String> = outcome.tagged.iter().map(ToString::to_string).collect();
        map.insert("image.name".into(), json!(names.join(",")));
    }
    Value::Object(map)
}
