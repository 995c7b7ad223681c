//! Where a file of an image came from: the step that brought it, and through COPY after COPY the stage that made it.

use std::os::fd::{AsFd, OwnedFd};

use jettison_dockerfile::Span;
use jettison_plan::{self as plan, Action, Fs, StepId};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

use crate::candidate::Candidate;
use crate::demand;
use crate::error::Error;
use crate::filesystem;

/// The step that brought a file into the image.
#[derive(Debug)]
pub struct Bringer {
    /// Its instruction.
    pub span: Span,
    /// The stage or image that it was made in, if it was copied from there; through stages that only hand it on.
    pub from: Option<Origin>,
}

/// A stage or image that files were copied from.
#[derive(Debug)]
pub struct Origin {
    /// What `COPY --from=` calls it.
    pub name: String,
    /// Its merged files.
    pub root: OwnedFd,
    /// Its RUN instructions as written, in order.
    pub runs: Vec<String>,
}

/// A file system, and what a file is called there if that can be told.
type Earlier = (Fs, Option<Vec<u8>>);

impl Candidate<'_> {
    /// The step that brought the file at `path` (relative, without links); `None` if it came with the base image.
    pub fn brought_by(&self, path: &[u8]) -> Result<Option<Bringer>, Error> {
        let Some(step) = self.last_to_bring(self.build.plan.target().result, path)? else { return Ok(None) };
        let from = match self.handed_on(step, path)? {
            Some((fs, source)) => self.origin(self.maker(fs, source)?)?,
            None => None,
        };
        Ok(Some(Bringer { span: self.build.plan.steps[step].span, from }))
    }

    /// The last step on the way to `fs` that brought `path`.
    fn last_to_bring(&self, fs: Fs, path: &[u8]) -> Result<Option<StepId>, Error> {
        let (_, steps) = demand::chain(&self.build.plan, fs);
        let Some(last) = steps.last() else { return Ok(None) };
        let Some(Some(snapshot)) = self.build.fs_snapshot(Fs::Step(*last))? else { return Ok(None) };
        for (step, info) in steps.iter().rev().zip(&self.store().stack(&snapshot)?) {
            let directory = filesystem::open_directory(&self.store().snapshot_directory(&info.id))?;
            if has(&directory, path, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
                return Ok(Some(*step));
            }
        }
        Ok(None)
    }

    /// The file system that `step` copied `path` from, and what it is called there if that can be told.
    fn handed_on(&self, step: StepId, path: &[u8]) -> Result<Option<Earlier>, Error> {
        let Action::Copy(copy) = &self.build.plan.steps[step].action else { return Ok(None) };
        let plan::Source::Fs(fs) = copy.from else { return Ok(None) };
        let Some(snapshot) = self.build.fs_snapshot(fs)? else { return Ok(Some((fs, None))) };
        let root = filesystem::open(self.store(), snapshot.as_ref())?;
        let mut names = names_in_source(copy, path).into_iter();
        Ok(Some((fs, names.find(|name| has(&root, name, ResolveFlags::IN_ROOT)))))
    }

    /// The file system that a file was made in: follows it as long as it was only copied.
    fn maker(&self, mut fs: Fs, mut path: Option<Vec<u8>>) -> Result<Fs, Error> {
        // A stage copies from earlier ones only, so this ends.
        while let Some(name) = path {
            let Some(step) = self.last_to_bring(fs, &name)? else { break };
            let Some((source, name)) = self.handed_on(step, &name)? else { break };
            (fs, path) = (source, name);
        }
        Ok(fs)
    }

    fn origin(&self, fs: Fs) -> Result<Option<Origin>, Error> {
        let plan = &self.build.plan;
        let name = match fs {
            Fs::Scratch => return Ok(None),
            Fs::Image(image) => plan.images[image].reference.familiar(),
            Fs::Step(_) => {
                let Some(stage) = plan.stages.iter().find(|stage| stage.result == fs) else {
                    return Ok(None);
                };
                stage.name.clone().unwrap_or_else(|| stage.index.to_string())
            }
        };
        let Some(snapshot) = self.build.fs_snapshot(fs)? else { return Ok(None) };
        let (_, steps) = demand::chain(plan, fs);
        Ok(Some(Origin {
            name,
            root: filesystem::open(self.store(), snapshot.as_ref())?,
            runs: steps.iter().filter_map(|step| self.run_text(*step)).collect(),
        }))
    }

    /// A RUN instruction as it is written in the Dockerfile.
    fn run_text(&self, step: StepId) -> Option<String> {
        let step = &self.build.plan.steps[step];
        let Action::Run(_) = step.action else { return None };
        self.text(step.span)
    }

    /// A part of the Dockerfile.
    pub fn text(&self, span: Span) -> Option<String> {
        let text = self.build.request.dockerfile.text.get(span.start..span.end)?;
        Some(String::from_utf8_lossy(text).trim_end().to_owned())
    }
}

/// What a file that COPY wrote to `path` may have been called where it was: all are relative, the likeliest first.
fn names_in_source(copy: &plan::Copy, path: &[u8]) -> Vec<Vec<u8>> {
    let path = String::from_utf8_lossy(path);
    let destination = copy.destination.trim_matches('/');
    let mut names = Vec::new();
    let below = match destination {
        "" => Some(&*path),
        _ => path.strip_prefix(destination).and_then(|rest| rest.strip_prefix('/')),
    };
    for (source, _) in &copy.sources {
        let source = source.trim_matches('/');
        let (parent, name) = source.rsplit_once('/').unwrap_or(("", source));
        if path == destination {
            names.push(source.to_owned());
        }
        let Some(below) = below else { continue };
        if copy.parents {
            names.push(below.to_owned());
        } else if name.contains(['*', '?', '[']) || below.split('/').next() == Some(name) {
            names.push(format!("{parent}/{below}"));
        }
        names.push(format!("{source}/{below}"));
    }
    names.iter().map(|name| name.trim_start_matches('/').as_bytes().to_vec()).collect()
}

/// Whether something is at `path` below a directory (a whiteout is nothing).
fn has(directory: &OwnedFd, path: &[u8], how: ResolveFlags) -> bool {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = how | ResolveFlags::NO_MAGICLINKS;
    let Ok(handle) = rustix::fs::openat2(directory.as_fd(), path, flags, Mode::empty(), resolve) else {
        return false;
    };
    rustix::fs::statat(&handle, c"", AtFlags::EMPTY_PATH)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sources: &[&str], destination: &str, path: &str) -> String {
        let sources = sources.iter().map(|source| ((*source).to_owned(), Span::default())).collect();
        let copy = plan::Copy {
            from: plan::Source::Context,
            sources,
            remotes: Vec::new(),
            inline: Vec::new(),
            destination: destination.to_owned(),
            chown: None,
            chmod: None,
            excludes: Vec::new(),
            parents: false,
            link: false,
            unpack: false,
            no_cache: false,
        };
        let names = names_in_source(&copy, path.as_bytes());
        names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_file_was_called_before_it_was_copied() {
        assert_eq!(names(&["/out/server"], "/myserver", "myserver"), "out/server");
        assert_eq!(names(&["/out/server"], "/bin/", "bin/server"), "out/server out/server/server");
        assert_eq!(names(&["/out"], "/", "bin/x"), "out/bin/x");
        assert_eq!(names(&["/usr/local/b*"], "/opt/", "opt/bin/x"), "usr/local/bin/x usr/local/b*/bin/x");
        assert_eq!(names(&["/a"], "/b", "c"), "");
    }
}
