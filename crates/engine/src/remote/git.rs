//! A commit of a Git repository: which one a name means now, and its files as a snapshot of the store.
//!
//! Fetched shallow: one commit, by its name if the server permits that, else by the branch or tag that has it, else with
//! the whole history. A commit's files are kept as a result of the cache under the commit, so a branch that has not moved
//! costs one question. Source: BuildKit `source/git/source.go`.

use std::path::Path;

use base64::Engine as _;
use jettison_oci::Digest;
use jettison_plan::remote::{Git, percent_decoded, redacted};
use jettison_store::{SnapshotId, StepResult};

use super::git_program::GitProgram;
use super::{Remotes, ls_remote, settle, submodules};
use crate::error::Error;

/// Objects from which on git keeps a fetch as one pack: never. Packs depend on the server's mood, loose objects on the
/// content only; a `.git` that is kept should be the same everywhere.
const UNPACK_LIMIT: &str = "2000000000";

/// A repository as git is told of it.
struct Repository {
    url: String,
    settings: Vec<(String, String)>,
}

impl Remotes<'_> {
    /// The commit that `git` means now.
    pub(super) fn resolve_git(&self, git: &Git) -> Result<String, Error> {
        let named = match git.commit() {
            Some(commit) => {
                ls_remote::Named { commit: commit.to_owned(), tag: None, name: commit.to_owned() }
            }
            None => self.ask(git)?,
        };
        if let Some(expected) = &git.checksum
            && !named.commit.starts_with(expected)
            && !named.tag.as_ref().is_some_and(|tag| tag.starts_with(expected))
        {
            return Err(Error::WrongContent { expected: expected.clone(), found: named.commit });
        }
        Ok(named.commit)
    }

    fn ask(&self, git: &Git) -> Result<ls_remote::Named, Error> {
        let home = self.images.store.scratch_dir()?;
        let repository = self.repository(git);
        let program = self.program(git, &repository, home.path())?;
        let reference = git.reference.as_deref().unwrap_or("HEAD");
        let mut arguments = vec!["ls-remote".to_owned(), "--".to_owned(), repository.url.clone()];
        arguments.extend(ls_remote::patterns(reference));
        let output = program.run(home.path(), &arguments)?;
        ls_remote::read(&output, reference).ok_or_else(|| Error::Git {
            reason: format!("repository does not contain ref {reference}"),
            hint: (reference.len() < 40 && reference.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| "a commit has to be written with all of its digits".to_owned()),
        })
    }

    /// The files of `commit`, from the cache or from the repository.
    pub(super) fn check_out(&self, git: &Git, commit: &str) -> Result<SnapshotId, Error> {
        let store = self.images.store;
        let key = Digest::sha256(checkout_name(git, commit).as_bytes()).to_string();
        let known = || -> Result<Option<SnapshotId>, Error> {
            let Some(result) = store.result(&key)? else { return Ok(None) };
            Ok(store.snapshot(&result.snapshot)?.map(|info| info.id))
        };
        if let Some(snapshot) = known()? {
            return Ok(snapshot);
        }
        let _guard = store.lock_step(&key, &self.images.cancel.flag())?;
        if let Some(snapshot) = known()? {
            return Ok(snapshot);
        }
        let home = store.scratch_dir()?;
        let repository = self.repository(git);
        let program = self.program(git, &repository, home.path())?;
        let draft = store.begin_snapshot(None)?;
        let keep = git.keep_git_dir.unwrap_or(false);
        fill(&program, &repository.url, git, commit, draft.fs())?;
        settle::settle(&program, draft.fs(), commit, keep.then(|| redacted(&git.url)).as_deref())?;
        let snapshot = draft.commit()?;
        let description = format!("files of {} at {commit}", git.shown());
        store.record_result(&key, &StepResult { snapshot: snapshot.clone() }, &description)?;
        Ok(snapshot)
    }

    fn program<'p>(
        &'p self,
        git: &Git,
        repository: &Repository,
        home: &'p Path,
    ) -> Result<GitProgram<'p>, Error> {
        let over_ssh = git.is_ssh();
        let agent = self.agents.get("default").cloned();
        if over_ssh && agent.is_none() {
            return Err(Error::Git {
                reason: "it is reached over ssh, and no ssh agent was given".to_owned(),
                hint: Some("give one with --ssh default".to_owned()),
            });
        }
        let settings = repository.settings.clone();
        Ok(GitProgram { cancel: self.images.cancel, home, agent: agent.filter(|_| over_ssh), settings })
    }

    /// The address without its user, who becomes a header for that place and no other. Names of secrets: BuildKit
    /// `source/git` (GIT_AUTH_TOKEN, GIT_AUTH_HEADER, each also with `.HOST`).
    fn repository(&self, git: &Git) -> Repository {
        let plain = Repository { url: git.url.clone(), settings: Vec::new() };
        let Some((scheme @ ("http" | "https"), rest)) = git.url.split_once("://") else { return plain };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
        let secret = |name: &str| {
            [format!("{name}.{place}"), format!("{name}.{host}"), name.to_owned()]
                .iter()
                .find_map(|id| self.secret(id))
        };
        let header = secret("GIT_AUTH_HEADER")
            .or_else(|| secret("GIT_AUTH_TOKEN").map(|token| basic(&format!("x-access-token:{token}"))))
            .or_else(|| user.map(|user| basic(&percent_decoded(&with_colon(user)))));
        let settings = header.map(|header| {
            (format!("http.{scheme}://{place}/.extraheader"), format!("Authorization: {header}"))
        });
        Repository { url: format!("{scheme}://{place}{path}"), settings: settings.into_iter().collect() }
    }
}

fn with_colon(user: &str) -> String {
    if user.contains(':') { user.to_owned() } else { format!("{user}:") }
}

fn basic(user_and_password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user_and_password))
}

/// Everything that decides what a checkout holds. Where it came from counts only if it says so itself.
fn checkout_name(git: &Git, commit: &str) -> String {
    let keep = git.keep_git_dir.unwrap_or(false).then(|| redacted(&git.url));
    format!("git checkout 1 {:?}", (commit, keep, git.submodules.unwrap_or(true)))
}

/// Fetches the commit and checks it out into the empty `folder`, `.git` inside.
fn fill(program: &GitProgram<'_>, url: &str, git: &Git, commit: &str, folder: &Path) -> Result<(), Error> {
    let format = if commit.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
    program.run(folder, ["init", "--quiet", "--template=", format])?;
    fetch(program, url, git, commit, folder)?;
    program.run(folder, ["checkout", "--quiet", "--detach", commit, "--"])?;
    if git.submodules.unwrap_or(true) && folder.join(".gitmodules").symlink_metadata().is_ok() {
        // The origin is what relative addresses of submodules are relative to.
        program.run(folder, ["config", "remote.origin.url", url])?;
        submodules::check_out(program, folder)?;
    }
    Ok(())
}

fn fetch(program: &GitProgram<'_>, url: &str, git: &Git, commit: &str, folder: &Path) -> Result<(), Error> {
    let has = || program.run(folder, ["cat-file", "-e", &format!("{commit}^{{commit}}")]).is_ok();
    let shallow = |what: &str| {
        let limit = if git.keep_git_dir == Some(true) { UNPACK_LIMIT } else { "1" };
        let limit = format!("fetch.unpackLimit={limit}");
        let fetch = ["fetch", "--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head"];
        let arguments = ["-c", &limit].into_iter().chain(fetch).chain(["--", url, what]);
        program.run(folder, arguments)
    };
    let by_commit = shallow(commit);
    if by_commit.is_ok() && has() {
        return Ok(());
    }
    if matches!(by_commit, Err(Error::Canceled)) {
        return by_commit.map(drop);
    }
    let names = git.reference.iter().filter(|name| name.as_str() != commit).cloned();
    for name in names.chain(git.reference.is_none().then(|| "HEAD".to_owned())) {
        if shallow(&name).is_ok() && has() {
            return Ok(());
        }
    }
    let all = ["fetch", "--quiet", "--no-write-fetch-head", "--", url];
    let refs = ["+refs/heads/*:refs/jettison/heads/*", "+refs/tags/*:refs/jettison/tags/*"];
    program.run(folder, all.into_iter().chain(refs))?;
    if has() {
        return Ok(());
    }
    let reason = format!("no branch or tag of it has the commit {commit}");
    Err(by_commit.err().unwrap_or(Error::Git { reason, hint: None }))
}
