//! What a step depends on, as labels with short values. Values that may be secret are left out: of variables with a
//! suspicious name only a digest is kept.

use jettison_dockerfile::lint::is_secret_name;
use jettison_layer::Kind;
use jettison_layer::select::Selection;
use jettison_oci::Digest;
use jettison_plan::{Action, Chmod, Copy, Fs, MountKind, Run, Source, StepId};

use super::Inputs;
use crate::build::Build;

/// Most files of one selection that are written down.
const FILES_MAX: usize = 2000;
/// Longest value, characters.
const VALUE_CHARS: usize = 1000;

/// What is written down of a selection of a context.
#[derive(Debug)]
pub(crate) struct Listing(Vec<(String, String)>);

impl Build<'_> {
    /// The inputs of a step.
    pub(super) fn inputs(&self, step: StepId) -> Inputs {
        let mut inputs = Inputs::new();
        let mut add = |label: &str, value: String| {
            inputs.insert(label.to_owned(), value.chars().take(VALUE_CHARS).collect());
        };
        add("instruction", self.text(step));
        match self.plan.steps[step].input {
            Fs::Scratch => add("base image", "scratch".to_owned()),
            Fs::Image(image) => add("base image", self.image_text(image)),
            Fs::Step(above) => {
                add("step before", self.progress(above).key.map(|key| key.to_string()).unwrap_or_default());
            }
        }
        add("the time of the build (SOURCE_DATE_EPOCH)", self.epoch.to_string());
        match &self.plan.steps[step].action {
            Action::Run(run) => self.add_run(run, &self.plan.steps[step].platform.to_string(), &mut inputs),
            Action::Copy(copy) => self.add_copy(copy, &mut inputs),
            Action::Workdir(workdir) => {
                inputs.insert("the folder".to_owned(), workdir.path.clone());
                inputs.insert("the user".to_owned(), workdir.user.clone());
            }
        }
        inputs
    }

    fn image_text(&self, image: usize) -> String {
        let image = &self.bases[image];
        format!("{} ({})", image.reference.familiar(), short(&image.descriptor.digest))
    }

    fn add_run(&self, run: &Run, platform: &str, inputs: &mut Inputs) {
        let mut add = |label: &str, value: String| {
            inputs.insert(label.to_owned(), value.chars().take(VALUE_CHARS).collect());
        };
        if let Some((name, text)) = &run.script {
            add(&format!("the script {name}"), short(&Digest::sha256(text.as_bytes())));
        }
        // The text of a shell form is the instruction's; SHELL in front of it is not.
        add(
            "the shell",
            run.argv.iter().take(run.argv.len().saturating_sub(1)).cloned().collect::<Vec<_>>().join(" "),
        );
        for (name, value) in run.env.iter().filter_map(|entry| entry.split_once('=')) {
            let shown = if is_secret_name(name) || value.contains("://") && value.contains('@') {
                format!("not shown ({})", short(&Digest::sha256(value.as_bytes())))
            } else {
                value.to_owned()
            };
            add(&format!("variable {name}"), shown);
        }
        add("the working directory", run.cwd.clone());
        add("the user", run.user.clone());
        add("the network", format!("{:?}", run.network).to_lowercase());
        add("the security", format!("{:?}", run.security).to_lowercase());
        add("the platform", platform.to_owned());
        let hosts: Vec<&str> = self.request.extra_hosts.iter().map(|(name, _)| name.as_str()).collect();
        add("names of --add-host", hosts.join(" "));
        add("limits", format!("{:?} {:?}", self.request.shm_bytes, self.request.limits));
        add("the host name", run.host_name.clone().unwrap_or_default());
        for mount in &run.mounts {
            let (source, path) = match &mount.kind {
                MountKind::Bind { from, path, .. } => (from.clone(), path),
                MountKind::Cache { from: Some(fs), path, .. } => (Source::Fs(*fs), path),
                _ => continue,
            };
            let whole = Copy::plain(source, vec![(path.clone(), mount.span)], "/");
            self.add_content(&whole, inputs);
        }
    }

    fn add_copy(&self, copy: &Copy, inputs: &mut Inputs) {
        let mut add = |label: &str, value: String| {
            inputs.insert(label.to_owned(), value.chars().take(VALUE_CHARS).collect());
        };
        let sources: Vec<&str> = copy.sources.iter().map(|(path, _)| path.as_str()).collect();
        add("the sources", sources.join(" "));
        add("the destination", copy.destination.clone());
        add("the owner (--chown)", copy.chown.clone().unwrap_or_default());
        add(
            "the mode (--chmod)",
            match &copy.chmod {
                None => String::new(),
                Some(Chmod::Octal(mode)) => format!("{mode:o}"),
                Some(Chmod::Symbolic(clauses)) => clauses.clone(),
            },
        );
        add("--exclude", copy.excludes.join(" "));
        add("flags", format!("parents {} link {} unpack {}", copy.parents, copy.link, copy.unpack));
        for (name, text) in &copy.inline {
            add(&format!("the text {name}"), short(&Digest::sha256(text.as_bytes())));
        }
        for source in &copy.remotes {
            if let Some(resolved) = self.remotes.known(&source.remote) {
                let content = resolved.digest(&source.remote);
                add(&format!("contents {}", source.remote.shown()), short(&content));
            }
        }
        if !copy.sources.is_empty() {
            self.add_content(copy, inputs);
        }
    }

    /// What a copy or a mount reads.
    fn add_content(&self, copy: &Copy, inputs: &mut Inputs) {
        match &copy.from {
            Source::Fs(Fs::Scratch) => {}
            Source::Fs(Fs::Image(image)) => {
                inputs.insert("contents the image that it copies from".to_owned(), self.image_text(*image));
            }
            Source::Fs(fs @ Fs::Step(_)) => {
                let stage = self.plan.stages.iter().find(|stage| stage.result == *fs);
                let name = stage.map_or_else(
                    || "an earlier step".to_owned(),
                    |stage| stage.name.clone().unwrap_or_else(|| stage.index.to_string()),
                );
                // It was made for the key already, and is remembered.
                if let Ok(Some(content)) = self.content_digest(copy) {
                    inputs.insert(format!("contents what it takes from stage {name}"), short(&content));
                }
            }
            Source::Context | Source::NamedContext(_) => {
                if let Some(listing) = self.listing(copy) {
                    inputs.extend(listing.0.iter().cloned());
                }
            }
        }
    }
}

impl Listing {
    /// Of a selection whose files have been hashed.
    pub(crate) fn of(selection: &Selection) -> Self {
        let mut files = Vec::new();
        for source in &selection.sources {
            let mut digests = source.files.iter().map(|seen| seen.digest.as_ref());
            for entry in std::iter::once(&source.root).chain(&source.entries) {
                let content = match &entry.kind {
                    Kind::File { .. } => digests.next().flatten().map(short).unwrap_or_default(),
                    Kind::Symlink { target } => format!("link to {}", String::from_utf8_lossy(target)),
                    // The metadata of the copied directory itself counts for nothing.
                    Kind::Directory if entry.path.is_empty() => continue,
                    kind => format!("{kind:?}").to_lowercase(),
                };
                if files.len() == FILES_MAX {
                    files.push(("files".to_owned(), "not all of them are remembered".to_owned()));
                    return Self(files);
                }
                let path = [&source.real[..], &entry.path[..]].join(&b'/');
                let path = String::from_utf8_lossy(&path).trim_matches('/').to_owned();
                files.push((format!("file {path}"), format!("{:04o} {content}", entry.mode & 0o7777)));
            }
        }
        Self(files)
    }
}

/// Twelve digits: enough for people to tell two contents apart.
fn short(digest: &Digest) -> String {
    digest.hex().chars().take(12).collect()
}
