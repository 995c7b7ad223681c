//! Where a build's Dockerfile and files come from: folders, standard input, URLs, Git, OCI layouts.
//!
//! Local things are only looked at here; what has to be fetched is fetched by the engine (`engine::fetch`), into the
//! store, which is opened only then. Source: buildx `build/opt.go` (loadInputs).

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use jettison_engine::fetch::{FILE_NAME, Fetched, Fetcher, UrlContext, Wanted};
use jettison_engine::{ContextSource, DockerfileSource, Images, Secret};
use jettison_oci::{Descriptor, Reference};
use jettison_plan::NamedContext;
use jettison_plan::remote::Remote;
use jettison_registry::Client;
use jettison_store::{Store, UseGuard};

use crate::args::{Build, Progress};
use crate::docker_flags;
use crate::environment::Environment;
use crate::failure::{Failure, Kind};
use crate::progress::transfer;
use crate::ssh_keys::Agent;

/// Largest Dockerfile that is read, bytes.
const DOCKERFILE_BYTES_MAX: u64 = 16 << 20;
/// Bytes of standard input that decide whether it is an archive: a whole tar header.
const MAGIC_BYTES: usize = 512;
/// What a context's Dockerfile may be called, in the order in which it is looked for.
const DOCKERFILES: [&str; 2] = ["Dockerfile", "dockerfile"];

/// The store and the registries, opened when they are first needed.
pub(super) struct Session<'e> {
    pub(super) environment: &'e Environment,
    mode: Progress,
    /// Agents for keys in files; they answer until the session ends.
    pub(super) agents: RefCell<Vec<Agent>>,
    /// Registries that need no certificate.
    insecure: RefCell<Vec<String>>,
    opened: OnceCell<Opened>,
}

struct Opened {
    store: Store,
    registry: Client,
    /// What was fetched must not be pruned before it is used.
    _in_use: UseGuard,
}

impl<'e> Session<'e> {
    pub(super) fn new(environment: &'e Environment, mode: Progress) -> Self {
        Self {
            environment,
            mode,
            agents: RefCell::default(),
            insecure: RefCell::default(),
            opened: OnceCell::new(),
        }
    }

    /// Lets the registries at `hosts` speak plain http; before [`Session::open`].
    pub(super) fn trust(&self, hosts: impl Iterator<Item = String>) {
        self.insecure.borrow_mut().extend(hosts);
    }

    /// The store and a client for registries.
    pub(super) fn open(&self) -> Result<(&Store, &Client), Failure> {
        if self.opened.get().is_none() {
            self.environment.require_namespaces()?;
            let store = self.environment.store()?;
            let registry = self.environment.registry_trusting(&self.insecure.borrow())?;
            let opened = Opened { _in_use: store.use_shared()?, store, registry };
            // Nobody else can have set it: a cell is for one thread.
            let _ = self.opened.set(opened);
        }
        let opened = self.opened.get().expect("it was just set");
        Ok((&opened.store, &opened.registry))
    }
}

/// What `--build-context` gives.
pub(super) struct NamedContexts {
    /// For the planner.
    pub(super) contexts: BTreeMap<String, NamedContext>,
    /// Files.
    pub(super) files: BTreeMap<String, ContextSource>,
    /// Images that are in the store now.
    pub(super) known_images: BTreeMap<Reference, Descriptor>,
}

/// Opens what arguments name.
pub(super) struct Inputs<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) secrets: &'a BTreeMap<String, Secret>,
    pub(super) agents: &'a BTreeMap<String, PathBuf>,
}

impl Inputs<'_> {
    /// The Dockerfile and the context of a build.
    pub(super) fn dockerfile_and_context(
        &self,
        args: &Build,
        keep_git_dir: bool,
    ) -> Result<(DockerfileSource, ContextSource), Failure> {
        let (context, file) = (&args.context, args.file.as_deref());
        if context == "-" {
            return self.standard_input(file);
        }
        if !Path::new(context).is_dir()
            && let Some(remote) = Remote::of_context(context).map_err(Failure::usage)?
        {
            return self.remote(remote, file, keep_git_dir);
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
        let source = match file {
            None => default_dockerfile(&folder)?,
            Some(file) => self.dockerfile(file)?,
        };
        Ok((source, ContextSource::Folder(folder)))
    }

    /// A Dockerfile beside the context: from standard input, a URL, or a file.
    fn dockerfile(&self, file: &str) -> Result<DockerfileSource, Failure> {
        if file == "-" {
            return Ok(DockerfileSource { name: "-".to_owned(), path: None, text: read_stdin(&[])? });
        }
        if is_url(file) {
            let text = self.fetch("the Dockerfile", file, |fetcher, progress| {
                Ok(fetcher.text(file, DOCKERFILE_BYTES_MAX, progress)?)
            })?;
            return Ok(DockerfileSource { name: jettison_plan::remote::redacted(file), path: None, text });
        }
        read_dockerfile(Path::new(file), file.to_owned())
    }

    /// `-`: an archive is the context, any other text is the Dockerfile.
    fn standard_input(&self, file: Option<&str>) -> Result<(DockerfileSource, ContextSource), Failure> {
        let mut stdin = std::io::stdin().lock();
        let mut prefix = Vec::new();
        (&mut stdin)
            .take(MAGIC_BYTES as u64)
            .read_to_end(&mut prefix)
            .map_err(|e| Failure::io("read", "standard input", &e))?;
        if !jettison_engine::fetch::is_archive(&prefix) {
            if file.is_some_and(|f| f != "-") {
                return Err(Failure::usage(
                    "standard input is no archive, so it is the Dockerfile, and so is -f",
                )
                .hint("leave out -f, or give the context as a tar"));
            }
            drop(stdin);
            let text = read_stdin(&prefix)?;
            return Ok((DockerfileSource { name: "-".to_owned(), path: None, text }, ContextSource::Empty));
        }
        if file == Some("-") {
            return Err(Failure::usage("standard input cannot be both the context and the Dockerfile"));
        }
        drop(stdin);
        let fetched = self.fetch("the context", "standard input", |fetcher, _| {
            Ok(fetcher.archive(&prefix, std::io::stdin())?)
        })?;
        let source = match file {
            Some(file) if is_url(file) => self.dockerfile(file)?,
            _ => inside(&fetched, file)?,
        };
        Ok((source, ContextSource::Fetched(fetched)))
    }

    fn remote(
        &self,
        mut remote: Remote,
        file: Option<&str>,
        keep_git_dir: bool,
    ) -> Result<(DockerfileSource, ContextSource), Failure> {
        if let (Remote::Git(git), true) = (&mut remote, keep_git_dir) {
            git.keep_git_dir = Some(true);
        }
        let shown = remote.shown();
        let (fetched, default) = match &remote {
            Remote::Git(git) => {
                (self.fetch("the context", &shown, |fetcher, _| Ok(fetcher.git(git)?))?, None)
            }
            Remote::Http(http) => {
                let context = self.fetch("the context", &shown, |fetcher, progress| {
                    Ok(fetcher.url(&http.url, progress)?)
                })?;
                match context {
                    UrlContext::Files(fetched) => (fetched, None),
                    UrlContext::Dockerfile(fetched) => (fetched, Some(FILE_NAME)),
                }
            }
        };
        let source = match file {
            Some(file) if file == "-" || is_url(file) || Path::new(file).is_absolute() => {
                self.dockerfile(file)?
            }
            _ => inside(&fetched, file.or(default))?,
        };
        Ok((source, ContextSource::Fetched(fetched)))
    }

    /// The time of something remote, seconds since 1970.
    pub(super) fn time_of(&self, remote: &Remote) -> Result<Option<i64>, Failure> {
        self.fetch("the time of the build", &remote.shown(), |fetcher, progress| match remote {
            Remote::Git(git) => Ok(fetcher.git(git)?.time_s()),
            Remote::Http(http) => Ok(match fetcher.url(&http.url, progress)? {
                UrlContext::Files(fetched) | UrlContext::Dockerfile(fetched) => fetched.time_s(),
            }),
        })
    }

    /// `NAME=VALUE` of every kind.
    pub(super) fn named(&self, values: &[String]) -> Result<NamedContexts, Failure> {
        let mut named = NamedContexts {
            contexts: BTreeMap::new(),
            files: BTreeMap::new(),
            known_images: BTreeMap::new(),
        };
        for text in values {
            let (name, value) = text
                .split_once('=')
                .filter(|(name, value)| !name.is_empty() && !value.is_empty())
                .ok_or_else(|| Failure::usage(format!("--build-context {text:?}: expected NAME=VALUE")))?;
            let context = self.named_one(text, name, value, &mut named)?;
            named.contexts.insert(name.to_owned(), context);
        }
        Ok(named)
    }

    fn named_one(
        &self,
        text: &str,
        name: &str,
        value: &str,
        named: &mut NamedContexts,
    ) -> Result<NamedContext, Failure> {
        let refused = |reason: String| Failure::usage(format!("--build-context {text:?}: {reason}"));
        if let Some(image) = value.strip_prefix("docker-image://") {
            return Ok(match image {
                "scratch" => NamedContext::Scratch,
                image => NamedContext::Image(image.parse::<Reference>().map_err(Failure::usage)?),
            });
        }
        if let Some(stage) = value.strip_prefix("target:") {
            return Ok(NamedContext::Stage(stage.to_owned()));
        }
        if let Some(layout) = value.strip_prefix("oci-layout://") {
            return self.layout(name, layout, named);
        }
        let remote =
            if Path::new(value).is_dir() { None } else { Remote::of_source(value).map_err(refused)? };
        let source = match remote {
            None if Path::new(value).is_dir() => ContextSource::Folder(PathBuf::from(value)),
            None if value.contains("://") || value.starts_with("input:") => {
                return Err(refused("this kind of context is not known".to_owned()).hint(
                    "give a folder, a Git repository, an http or https URL, docker-image://IMAGE, \
                     oci-layout://FOLDER or target:STAGE",
                ));
            }
            None => return Err(refused(format!("{value} is not a folder"))),
            Some(remote) => ContextSource::Fetched(self.fetch(
                &format!("context {name}"),
                &remote.shown(),
                |fetcher, progress| match &remote {
                    Remote::Git(git) => Ok(fetcher.git(git)?),
                    Remote::Http(http) => Ok(fetcher.file(&http.url, progress)?),
                },
            )?),
        };
        named.files.insert(name.to_owned(), source);
        Ok(NamedContext::Folder)
    }

    /// `FOLDER[:TAG|@DIGEST]`
    fn layout(&self, name: &str, layout: &str, named: &mut NamedContexts) -> Result<NamedContext, Failure> {
        let (folder, wanted) = split_layout(layout)?;
        let descriptor = self.fetch(&format!("context {name}"), layout, |fetcher, _| {
            Ok(fetcher.layout(Path::new(folder), &wanted)?)
        })?;
        // A name for messages; with its digest it means the same everywhere.
        let base = name.split("::").next().unwrap_or(name).parse::<Reference>();
        let base = base.or_else(|_| "oci-layout".parse::<Reference>()).map_err(Failure::usage)?;
        let reference = base.with_digest(descriptor.digest.clone());
        named.known_images.insert(reference.clone(), descriptor);
        Ok(NamedContext::Image(reference))
    }

    /// Fetches with a line of progress.
    fn fetch<T>(
        &self,
        title: &str,
        name: &str,
        work: impl FnOnce(&Fetcher<'_>, jettison_engine::Progress<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (store, registry) = self.session.open()?;
        let policy = docker_flags::source_policy()?;
        let images = Images { policy: policy.as_deref(), ..self.session.environment.images(store, registry) };
        let fetcher = Fetcher::new(images, self.secrets, self.agents);
        transfer(self.session.mode, &format!("Fetching {title}"), name, |progress| work(&fetcher, progress))
    }
}

/// Folder and choice of an OCI layout. A colon counts only behind the last slash.
fn split_layout(text: &str) -> Result<(&str, Wanted), Failure> {
    if let Some((folder, digest)) = text.split_once('@') {
        return Ok((folder, Wanted::Digest(digest.parse().map_err(Failure::usage)?)));
    }
    match text.rsplit_once(':') {
        Some((folder, tag)) if !tag.contains('/') => Ok((folder, Wanted::Tag(tag.to_owned()))),
        _ => Ok((text, Wanted::Only)),
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// The Dockerfile inside of a context.
fn inside(fetched: &Fetched, file: Option<&str>) -> Result<DockerfileSource, Failure> {
    let names = match &file {
        Some(file) => std::slice::from_ref(file),
        None => &DOCKERFILES[..],
    };
    for name in names {
        let found = fetched.read(name, DOCKERFILE_BYTES_MAX).map_err(|e| Failure::io("read", name, &e))?;
        if let Some(text) = found {
            return Ok(DockerfileSource { name: (*name).to_owned(), path: None, text });
        }
    }
    let missing = names[0];
    Err(Failure::new(Kind::Dockerfile, format!("there is no {missing} in the context"))
        .hint("name it with -f FILE, as it is called in the context"))
}

/// `Dockerfile`, else `dockerfile`, in the folder.
fn default_dockerfile(folder: &Path) -> Result<DockerfileSource, Failure> {
    for name in DOCKERFILES {
        let path = folder.join(name);
        let shown = || path.strip_prefix("./").unwrap_or(&path).display().to_string();
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() || metadata.is_dir() => {
                return read_dockerfile(&path, shown());
            }
            // A pipe that was named with -f is read; one that only lies there would be waited for.
            Ok(_) => return Err(Failure::new(Kind::Dockerfile, format!("{} is no regular file", shown()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::io("open", shown(), &error)),
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

/// The rest of standard input behind `prefix`.
fn read_stdin(prefix: &[u8]) -> Result<Vec<u8>, Failure> {
    read_limited(prefix.chain(std::io::stdin().lock()), "standard input")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_with_tags_and_digests() {
        let tag = |t: &str| Wanted::Tag(t.to_owned());
        assert_eq!(split_layout("a/b").unwrap(), ("a/b", Wanted::Only));
        assert_eq!(split_layout("a/b:v1").unwrap(), ("a/b", tag("v1")));
        assert_eq!(split_layout("a:b/c").unwrap(), ("a:b/c", Wanted::Only));
        let digest = format!("sha256:{}", "0".repeat(64));
        let text = format!("/x@{digest}");
        assert_eq!(split_layout(&text).unwrap(), ("/x", Wanted::Digest(digest.parse().unwrap())));
        assert!(split_layout("/x@sha256:0").is_err());
    }
}
