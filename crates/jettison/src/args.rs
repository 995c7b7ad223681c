//! What can be typed: one struct per command. The doc comments are the help.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::docker_flags::DockerFlags;
use crate::limit_flags::LimitFlags;
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use jettison_oci::Platform;

/// Build container images from Dockerfiles: no daemon, no root, no Docker.
#[derive(Debug, Parser)]
#[command(name = "jettison", version, propagate_version = true, disable_help_subcommand = true)]
#[command(args_override_self = true)]
#[command(
    after_help = "The store is $JETTISON_ROOT, else $XDG_DATA_HOME/jettison (root: /var/lib/jettison)."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build an image from a Dockerfile
    Build(Box<Build>),
    /// Check a Dockerfile without building it
    Check(Box<Check>),
    /// List the images in the store
    #[command(visible_alias = "ls")]
    Images(Images),
    /// Show an image's manifest and config as JSON
    Inspect(Inspect),
    /// Give an image another name
    Tag(Tag),
    /// Remove names of images
    #[command(visible_alias = "rmi")]
    Rm(Rm),
    /// Remove what no image needs: old build cache, unnamed images
    Prune(Prune),
    /// Show what takes how much disk space
    Du(Du),
    /// Check the store: digests of blobs, parts of images, files of snapshots, leftovers
    Fsck(Fsck),
    /// Fetch an image from a registry
    Pull(Pull),
    /// Send an image to a registry
    Push(Push),
    /// Write images to an archive
    Save(Save),
    /// Read images from an archive
    Load(Load),
    /// Start an image in the sandbox that builds use, on the host's network
    Run(Run),
    /// Say whether an image can start, and what to do if not
    Verify(Verify),
    /// Say where the bytes of an image are
    Size(Size),
    /// Say what differs between two images: files, config, size
    Diff(Diff),
    /// List the packages of an image: SPDX, CycloneDX or text
    Sbom(Sbom),
    /// Say why steps of the last build ran, and what changed
    Why(Why),
    /// Write a report of the last build, one HTML page
    Report(ReportPage),
    /// Write a Dockerfile with a separate build stage, so that only what runs is in the image
    Slim(Box<Slim>),
    /// Store credentials for a registry
    Login(Login),
    /// Forget the credentials for a registry
    Logout(Logout),
    /// Show the version and what this machine permits
    Version,
    /// Print completions for a shell
    Completions(Completions),
    /// Write man pages into a folder, or print that of jettison itself
    Man(Man),
}

/// The whole command line: what is parsed, completed and described in man pages.
pub(crate) fn command() -> clap::Command {
    let takes = |argument: &clap::Arg| CHECK_TAKES.contains(&argument.get_id().as_str());
    let adapt = |argument: clap::Arg| match argument.get_id().as_str() {
        "context" => argument.required(false).default_value("."),
        "target" => argument.help("Look at this stage and those that it needs [default: all stages]"),
        _ if takes(&argument) => argument,
        _ => argument.hide(true),
    };
    let slims = |argument: clap::Arg| match argument.get_id().as_str() {
        "context" => argument.required(false).default_value("."),
        name if SLIM_TAKES.contains(&name) => argument,
        _ => argument.hide(true),
    };
    Cli::command()
        .mut_subcommand("check", |check| check.mut_args(adapt))
        .mut_subcommand("slim", |slim| slim.mut_args(slims))
}

/// The command line with `--flag=true` and `--flag=false` in clap's words: docker takes both for each flag that has no
/// value of its own.
pub(crate) fn with_plain_flags(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let words: Vec<OsString> = words.collect();
    let build = words.get(1).is_some_and(|word| word == "build" || word == "check");
    if !build || !words.iter().any(|word| word.to_str().is_some_and(|text| text.contains('='))) {
        return words;
    }
    let all = Cli::command();
    let build = all.find_subcommand("build").expect("there is the command build");
    let is_switch = |name: &str| {
        let mut arguments = build.get_arguments();
        arguments.any(|a| a.get_long() == Some(name) && matches!(a.get_action(), ArgAction::SetTrue))
    };
    let mut plain: Vec<OsString> = Vec::with_capacity(words.len());
    for word in words {
        let named = word.to_str().and_then(|text| text.strip_prefix("--")?.split_once('='));
        match named {
            Some((name, "1" | "t" | "T" | "true" | "TRUE" | "True")) if is_switch(name) => {
                plain.push(format!("--{name}").into());
            }
            Some((name, "0" | "f" | "F" | "false" | "FALSE" | "False")) if is_switch(name) => {
                let flag = format!("--{name}");
                plain.retain(|word| *word != *flag);
            }
            _ => plain.push(word),
        }
    }
    plain
}

/// The flags that a check makes use of. It takes all the others of `build` too, so that one command line serves both.
const CHECK_TAKES: [&str; 9] =
    ["context", "file", "target", "build_args", "platform", "pull", "build_contexts", "format", "offline"];

/// The flags that slim makes use of; it takes the others of `build` too, as a check does.
const SLIM_TAKES: [&str; 14] = [
    "context",
    "file",
    "build_args",
    "platform",
    "pull",
    "build_contexts",
    "network",
    "progress",
    "secrets",
    "ssh",
    "add_hosts",
    "no_cache",
    "write",
    "keep",
];

/// Flags of `build`; the same as `docker build`'s.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Build {
    /// Files that COPY and ADD may use: a folder, a Git repository (`URL#ref:folder`), the URL of an archive or a
    /// Dockerfile, or `-` for either on standard input
    #[arg(value_name = "PATH|URL|-")]
    pub(crate) context: String,
    /// The Dockerfile [default: PATH/Dockerfile]; a URL, or `-` for standard input; inside of a context that is no folder
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<String>,
    /// Name for the result, `repository[:tag]`; repeatable
    #[arg(short, long = "tag", value_name = "NAME")]
    pub(crate) tags: Vec<String>,
    /// The stage to build [default: the last]
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// Value of an ARG; without `=VALUE` it is taken from the environment
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub(crate) build_args: Vec<String>,
    /// Run every step again
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Run every step of these stages again, and of stages on top of them; repeatable, or with commas
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,
    /// Ask the registry what a base's tag means today
    #[arg(long)]
    pub(crate) pull: bool,
    /// Platform of the result, such as linux/arm64, or several, with commas [default: this machine's]
    #[arg(long, env = "DOCKER_DEFAULT_PLATFORM", value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Where the result goes: `type=oci|docker|tar|local|image|registry|cacheonly[,dest=…]` or a folder; repeatable
    #[arg(short, long = "output", value_name = "SPEC")]
    pub(crate) outputs: Vec<String>,
    /// Push the result to the registries of its names
    #[arg(long)]
    pub(crate) push: bool,
    /// Give the result to the Docker daemon as well, with `docker load`
    #[arg(long)]
    pub(crate) load: bool,
    /// How progress is shown
    #[arg(long, env = "BUILDKIT_PROGRESS", value_enum, default_value_t, value_name = "MODE")]
    pub(crate) progress: Progress,
    /// Write the image's digest to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write digests and names of the result to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Label of the result; wins over LABEL
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<String>,
    /// Print the image's digest and nothing else
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// A further context: `name=` a folder, a Git repository, a URL, `docker-image://IMAGE`,
    /// `oci-layout://FOLDER[:TAG|@DIGEST]` or `target:STAGE`
    #[arg(long = "build-context", value_name = "NAME=VALUE")]
    pub(crate) build_contexts: Vec<String>,
    /// Network of RUN steps: the host's, or none at all
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub(crate) network: Network,
    /// What to do with the files of a RUN that fails: keep them for a look, or open a shell in them at once
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) on_failure: Option<OnFailure>,
    /// What RUN may have beyond the ordinary: `security.insecure`, `network.host`; repeatable
    #[arg(long, value_name = "ENTITLEMENT", value_delimiter = ',')]
    pub(crate) allow: Vec<String>,
    /// Size of /dev/shm of RUN steps, such as 128m [default: 64m]
    #[arg(long, value_name = "SIZE")]
    pub(crate) shm_size: Option<String>,
    /// A limit of each process of RUN steps: `NAME=SOFT[:HARD]`, such as nofile=1024
    #[arg(long = "ulimit", value_name = "SPEC")]
    pub(crate) ulimits: Vec<String>,
    /// An annotation of the result: `[manifest|index|manifest-descriptor|index-descriptor[PLATFORM]:]KEY=VALUE`
    #[arg(long = "annotation", value_name = "SPEC")]
    pub(crate) annotations: Vec<String>,
    #[command(flatten)]
    pub(crate) limits: LimitFlags,
    #[command(flatten)]
    pub(crate) docker: DockerFlags,
    /// One layer on top of those of the base, instead of one for each step
    #[arg(long)]
    pub(crate) squash: bool,
    /// A line for /etc/hosts of RUN steps
    #[arg(long = "add-host", value_name = "NAME:ADDRESS")]
    pub(crate) add_hosts: Vec<String>,
    /// A secret for `RUN --mount=type=secret`: `id=ID[,src=FILE|,env=NAME]`
    #[arg(long = "secret", value_name = "SPEC")]
    pub(crate) secrets: Vec<String>,
    /// An ssh agent or keys for `RUN --mount=type=ssh` and git over ssh: `default` or `ID[=SOCKET|=KEY[,KEY…]]`
    #[arg(long = "ssh", value_name = "SPEC")]
    pub(crate) ssh: Vec<String>,
    /// Check the Dockerfile and build nothing; short for --call=check
    #[arg(long)]
    pub(crate) check: bool,
    /// Do something else than build: `check`, `outline` (what the target takes), `targets`; with `,format=json`
    #[arg(long, value_name = "METHOD")]
    pub(crate) call: Option<String>,
    /// Whether the image can start: warn, fail with `error`, say nothing with `off`; `run` starts it in the sandbox as well
    /// [default: what `verify` in jettison/config.toml says, else warn]
    #[arg(long, env = "JETTISON_VERIFY", value_enum, value_delimiter = ',', value_name = "MODE")]
    pub(crate) verify: Vec<VerifyMode>,
    /// Attach a list of the image's packages (SPDX)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) sbom: Option<String>,
    /// Attach how the image was built (SLSA): `mode=min|max`, `version=v0.2|v1`, `builder-id=URI`
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) provenance: Option<String>,
    /// The long form of both: `type=sbom|provenance[,FIELD=VALUE]`
    #[arg(long = "attest", value_name = "SPEC")]
    pub(crate) attests: Vec<String>,
    /// Write a report of the build, one HTML page: timeline, stages, where the bytes are, the verdict
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Most RUN steps at the same time [default: four for each core]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}

impl Build {
    /// Architectures of `--platform`, in Go's words; what cannot be read is left for later.
    pub(crate) fn architectures(&self) -> Vec<String> {
        let words = self.platform.iter().flat_map(|text| text.split(','));
        words.filter_map(|word| Some(word.trim().parse::<Platform>().ok()?.architecture)).collect()
    }
}

/// Flags of `check`: those of `build`, most of them hidden, and its own.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) build: Build,
    /// How findings are shown
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: CheckFormat,
    /// Look at no registry: what base images set is known only if they are in the store
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Flags of `slim`: those of `build`, some of them hidden, and its own.
#[derive(Debug, Args)]
pub(crate) struct Slim {
    #[command(flatten)]
    pub(crate) build: Build,
    /// Overwrite the Dockerfile [default: print the new one]
    #[arg(short, long)]
    pub(crate) write: bool,
    /// Keep a file or folder whatever the program says of it: an absolute path in the image; repeatable
    #[arg(long, value_name = "PATH")]
    pub(crate) keep: Vec<String>,
}

/// How findings of checks are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people, with snippets
    #[default]
    Text,
    /// As BuildKit writes them
    Json,
    /// SARIF 2.1.0, for editors and code hosts
    Sarif,
}

/// What to do about an image that cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyMode {
    /// Say so at the end
    Warn,
    /// Fail before anything is named, written or pushed
    Error,
    /// Do not look
    Off,
    /// Start it in the sandbox, without a network, as well
    Run,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A live view on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// A live view
    Tty,
    /// One line for each thing that happens
    Plain,
    /// One JSON object a line
    Rawjson,
    /// Nothing but errors
    Quiet,
    /// The same as quiet
    None,
}

/// What to do with the files of a RUN that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFailure {
    /// Keep them; `jettison run step:NAME` opens a shell in them
    Keep,
    /// Keep them, and open a shell in them if standard input is a terminal
    Shell,
}

/// Network of RUN steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// The host's network
    #[default]
    Default,
    /// A loopback interface and nothing else
    None,
    /// The host's network
    Host,
}

/// Flags of `images`.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Print digests only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Images to show
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// Flags of `tag`.
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// Name or digest of the image
    pub(crate) image: String,
    /// The further name
    pub(crate) name: String,
}

/// Flags of `rm`.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names to remove; a digest removes every name of that image
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// Flags of `prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove the whole build cache, not only what was not used for a week
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Do not ask (nothing is ever asked; accepted for scripts written for docker)
    #[arg(short, long, hide = true)]
    pub(crate) force: bool,
    /// Keep the most recently used build cache up to this size, such as 5GB
    #[arg(long, value_name = "SIZE")]
    pub(crate) keep_storage: Option<String>,
}

/// Flags of `du`.
#[derive(Debug, Args)]
pub(crate) struct Du {}

/// Flags of `fsck`.
#[derive(Debug, Args)]
pub(crate) struct Fsck {
    /// Remove what is damaged or left over; it is pulled or built again when it is needed
    #[arg(long)]
    pub(crate) repair: bool,
}

/// Flags of `pull`.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// The image
    pub(crate) image: String,
    /// Platform of the image [default: this machine's]
    #[arg(long, env = "DOCKER_DEFAULT_PLATFORM", value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Unpack it as well, as a build would
    #[arg(long)]
    pub(crate) unpack: bool,
    /// Print the digest and nothing else
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Flags of `push`.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The image in the store
    pub(crate) image: String,
    /// Where to push it [default: its own name]
    pub(crate) destination: Option<String>,
    /// Print the digest and nothing else
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Flags of `save`.
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Images to write
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// The file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The kind of archive
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Kind of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// What `docker load` reads (an OCI layout as well)
    #[default]
    Docker,
    /// An OCI image layout
    Oci,
}

/// Flags of `load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The archive or OCI layout folder [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Print digests only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Set an environment variable; without `=VALUE` it is taken from the environment
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Working directory
    #[arg(short, long, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
    /// User, `name|uid[:group|gid]`
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Run this program instead of the image's ENTRYPOINT
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Network: the host's, or none at all
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub(crate) network: Network,
    /// Remove the container afterwards (always done; accepted for scripts written for docker)
    #[arg(long, hide = true)]
    pub(crate) rm: bool,
    /// The image; `step:NAME` is what a failed RUN left
    pub(crate) image: String,
    /// Arguments instead of the image's CMD
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The image: a name in the store or a registry, an archive or a folder with an OCI layout
    pub(crate) image: String,
    /// Start it in the sandbox, without a network, as well
    #[arg(long)]
    pub(crate) run: bool,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ReportFormat,
    /// Platform of the image [default: this machine's]
    #[arg(long, env = "DOCKER_DEFAULT_PLATFORM", value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
}

impl Verify {
    /// The architecture whose programs are to be started, in Go's words.
    pub(crate) fn architectures(&self) -> Vec<String> {
        let platform = self.platform.as_deref().filter(|_| self.run);
        platform.and_then(|text| text.parse::<Platform>().ok()).map(|p| p.architecture).into_iter().collect()
    }
}

/// Flags of `size`.
#[derive(Debug, Args)]
pub(crate) struct Size {
    /// The image: a name in the store or a registry, an archive or a folder with an OCI layout
    pub(crate) image: String,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ReportFormat,
    /// Platform of the image [default: this machine's]
    #[arg(long, env = "DOCKER_DEFAULT_PLATFORM", value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
}

/// Flags of `diff`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The first image: a name in the store or a registry, an archive or a folder with an OCI layout
    #[arg(value_name = "A")]
    pub(crate) from: String,
    /// The second image
    #[arg(value_name = "B")]
    pub(crate) to: String,
    /// End with 1 if they differ in files or config
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// List what differs in nothing but its time, too
    #[arg(long)]
    pub(crate) times: bool,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ReportFormat,
    /// Platform of the images [default: this machine's]
    #[arg(long, env = "DOCKER_DEFAULT_PLATFORM", value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
}

/// Flags of `sbom`.
#[derive(Debug, Args)]
pub(crate) struct Sbom {
    /// The image: a name in the store or a registry, an archive or a folder with an OCI layout
    pub(crate) image: String,
    /// The kind of document
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: SbomFormat,
    /// The file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Platform of the image [default: this machine's]
    #[arg(long, env = "DOCKER_DEFAULT_PLATFORM", value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
}

/// The kind of a list of packages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SbomFormat {
    /// SPDX 2.3, JSON
    #[default]
    #[value(alias = "spdx-json")]
    Spdx,
    /// CycloneDX 1.6, JSON
    #[value(alias = "cyclonedx-json")]
    Cyclonedx,
    /// A table for people
    Text,
}

/// Flags of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportPage {
    /// The file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Flags of `why`.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// A step: its number, the name of a stage, or a part of its text [default: all steps]
    pub(crate) step: Option<String>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: ReportFormat,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Flags of `login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The registry
    #[arg(default_value = "docker.io")]
    pub(crate) registry: String,
    /// User name
    #[arg(short, long)]
    pub(crate) username: Option<String>,
    /// Password (visible to other users of this machine: prefer --password-stdin)
    #[arg(short, long, conflicts_with = "password_stdin")]
    pub(crate) password: Option<String>,
    /// Read the password from standard input
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) password_stdin: bool,
}

/// Flags of `logout`.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// The registry
    #[arg(default_value = "docker.io")]
    pub(crate) registry: String,
}

/// Flags of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Flags of `man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder [default: print jettison(1)]
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}
