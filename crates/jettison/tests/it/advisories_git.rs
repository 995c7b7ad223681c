//! Git repositories made to run or write something where they are cloned: what git's advisories about submodules
//! describe, with real repositories, as ADD, as the context of a build, and one submodule deeper.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use crate::fixture::{Jettison, Ran, folder};
use crate::web::{Repository, Web};

/// A folder in which nothing may change.
struct Outside(TempDir);

impl Outside {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self(dir)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    #[track_caller]
    fn is_empty(&self, what: &str) {
        let found: Vec<_> = fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(found.is_empty(), "{what}: {found:?}");
    }
}

/// A repository whose files are hooks, wherever they come to lie, that leave a mark outside; its commit.
fn hooks(repository: &Repository, outside: &Outside, folders: &[&str]) -> String {
    let script = format!("#!/bin/sh\ntouch {}/ran\n", outside.path());
    let names = ["post-checkout", "reference-transaction", "post-index-change", "fsmonitor-watchman"];
    for path in folders.iter().flat_map(|f| names.iter().map(move |name| format!("{f}{name}"))) {
        let path = repository.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    repository.commit(&[])
}

/// Commits a submodule at `path` under `name`, and whatever else lies in the folder.
fn submodule(outer: &Repository, name: &str, path: &str, (url, commit): (&str, &str)) {
    let section = format!("[submodule \"{name}\"]\n\tpath = \"{path}\"\n\turl = {url}\n");
    fs::write(outer.folder.join(".gitmodules"), section).unwrap();
    outer.git(&["add", "-A"]);
    outer.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]);
    outer.git(&["commit", "-q", "-m", "evil"]);
}

const DOCKERFILE: &str = "FROM scratch\nCOPY . /\n";

/// What comes of `ADD ARGUMENTS /`.
fn added(arguments: &str) -> (Ran, TempDir) {
    let (jettison, out) = (Jettison::new(), tempfile::tempdir().unwrap());
    let output = format!("type=local,dest={}", out.path().display());
    let context = folder(&format!("FROM scratch\nADD {arguments} /\n"), &[]);
    (jettison.try_build(context.path(), &["--output", &output]), out)
}

/// As a context, with `COPY . /`.
fn as_context(url: &str) -> (Ran, TempDir) {
    let out = tempfile::tempdir().unwrap();
    let output = format!("type=local,dest={}", out.path().display());
    (Jettison::new().run(&["build", "--progress=plain", "--output", &output, url]), out)
}

/// Without `.git` and with it, and as a context.
fn all_ways(url: &str) -> [(Ran, TempDir); 3] {
    [added(url), added(&format!("--keep-git-dir=true {url}")), as_context(url)]
}

/// A repository that has the present commit of `outer` as its submodule.
fn around(web: &Web, outer: &Repository, name: &str) -> Repository {
    let around = web.repository(name).unwrap();
    submodule(&around, "m", "m", (&outer.url, &outer.git(&["rev-parse", "HEAD"])));
    around
}

/// git: a link `a` to `.git` beside a submodule at `A/modules/x` put the submodule's files among git's own, where names of
/// either case are one. Here they are two; but a tree that is made by hand can hold the same name twice.
#[test]
fn cve_2024_32002_a_link_beside_a_submodule_leads_it_nowhere() {
    let (web, outside) = (Web::start(), Outside::new());
    let Some(inner) = web.repository("inner") else { return };
    let commit = hooks(&inner, &outside, &["y/hooks/", ""]);
    for (number, target) in [".git", outside.path()].into_iter().enumerate() {
        let outer = web.repository(&format!("outer{number}")).unwrap();
        fs::write(outer.folder.join("Dockerfile"), DOCKERFILE).unwrap();
        symlink(target, outer.folder.join("a")).unwrap();
        submodule(&outer, "x/y", "A/modules/x", (&inner.url, &commit));
        for (ran, out) in all_ways(&outer.url) {
            ran.ok();
            assert!(out.path().join("A/modules/x/y/hooks/post-checkout").is_file());
            assert_eq!(fs::read_link(out.path().join("a")).unwrap(), Path::new(target));
            outside.is_empty(target);
        }
        let (ran, out) = added(&around(&web, &outer, &format!("around{number}")).url);
        ran.ok();
        assert!(out.path().join("m/A/modules/x/y").is_dir());
        outside.is_empty(target);
        twice(&outer, (&inner.url, &commit));
        for (ran, out) in all_ways(&format!("{}#twice", outer.url)) {
            // git believes one of the two entries, whichever; the link never leads to the other.
            assert!(matches!(ran.code, 0 | 4), "{}", ran.stderr);
            assert!(!out.path().join(".git/modules/x/y/hooks/post-checkout").exists());
            outside.is_empty(target);
        }
    }
}

/// A branch `twice` whose tree has `a` as a link, and as a folder with a submodule at `a/modules/x`.
fn twice(outer: &Repository, (url, commit): (&str, &str)) {
    let lines = outer.folder.join(".git/lines");
    let tree = |text: &str| {
        fs::write(&lines, text).unwrap();
        outer.git(&["-c", "alias.tree=!git mktree --missing < .git/lines", "tree"])
    };
    let modules = tree(&format!("160000 commit {commit}\tx\n"));
    let folder = tree(&format!("040000 tree {modules}\tmodules\n"));
    let settings = format!("[submodule \"x/y\"]\n\tpath = a/modules/x\n\turl = {url}\n");
    fs::write(&lines, settings).unwrap();
    let settings = outer.git(&["hash-object", "-w", ".git/lines"]);
    let files = outer.git(&["ls-tree", "HEAD", "Dockerfile", "a"]);
    let root = tree(&format!("100644 blob {settings}\t.gitmodules\n{files}\n040000 tree {folder}\ta\n"));
    let commit = outer.git(&["commit-tree", "-m", "twice", &root]);
    outer.git(&["update-ref", "refs/heads/twice", &commit]);
}

/// git: a carriage return at the end of a submodule's path was lost when it was written down, so that the submodule went
/// where a link of the name without it leads: among git's hooks, or outside. No git, old or new, is asked.
#[test]
fn cve_2025_48384_a_carriage_return_in_a_submodules_path_leads_nowhere() {
    let (web, outside) = (Web::start(), Outside::new());
    let Some(inner) = web.repository("inner") else { return };
    let commit = hooks(&inner, &outside, &[""]);
    for (number, target) in [".git/modules/sub/hooks", outside.path()].into_iter().enumerate() {
        let outer = web.repository(&format!("outer{number}")).unwrap();
        fs::write(outer.folder.join("Dockerfile"), DOCKERFILE).unwrap();
        symlink(target, outer.folder.join("sub")).unwrap();
        submodule(&outer, "sub", "sub\r", (&inner.url, &commit));
        let deeper = added(&around(&web, &outer, &format!("around{number}")).url);
        for (ran, out) in all_ways(&outer.url).into_iter().chain([deeper]) {
            let error = ran.fails(4);
            assert!(error.contains("the path of a submodule has a control character"), "{error}");
            assert!(error.contains("sub\\r") && error.contains("?submodules=false"), "{error}");
            assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
            outside.is_empty(target);
        }
        let (ran, out) = added(&format!("{}?submodules=false", outer.url));
        ran.ok();
        assert_eq!(fs::read_link(out.path().join("sub")).unwrap(), Path::new(target));
    }
}
