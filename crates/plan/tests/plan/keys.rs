//! Cache keys: each line of the list of wrong hits that shipped somewhere, and that keys can prevent, has a test.

use jettison_oci::{Digest, Platform};
use jettison_plan::key::{Key, copy_key, copy_source_key, image_key, run_key, scratch_key, workdir_key};
use jettison_plan::{
    Action, Chmod, Copy, MountKind, Network, Options, Run, Security, Sharing, Source, Workdir,
};
use proptest::prelude::*;

use crate::support::{amd64, planned, planned_with, with_args};

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

fn only_run(text: &str, options: &Options) -> Run {
    planned_with(text, options)
        .steps
        .into_iter()
        .find_map(|step| if let Action::Run(run) = step.action { Some(run) } else { None })
        .expect("a RUN")
}

fn only_copy(text: &str) -> Copy {
    planned(text)
        .steps
        .into_iter()
        .rev()
        .find_map(|step| if let Action::Copy(copy) = step.action { Some(copy) } else { None })
        .expect("a COPY")
}

fn key_of_run(run: &Run) -> Key {
    run_key(&scratch_key(), run, &amd64(), &[], &[], 0)
}

fn run_text(text: &str) -> Key {
    key_of_run(&only_run(text, &crate::support::options()))
}

fn key_of_copy(copy: &Copy) -> Key {
    copy_key(&scratch_key(), copy, &digest("content"), None)
}

fn copy_text(text: &str) -> Key {
    key_of_copy(&only_copy(text))
}

/// All keys differ from each other.
fn all_differ(keys: &[Key]) {
    for (n, key) in keys.iter().enumerate() {
        assert!(!keys[..n].contains(key), "key {n} is the same as an earlier one");
    }
}

/// Stage behind COPY --from (3), content behind it (1, 4, 16), a bind mount's content (10).
#[test]
fn content_and_input_count() {
    let copy = only_copy("FROM a\nCOPY x y\n");
    let other_input = image_key(Some(&digest("manifest")), &amd64());
    all_differ(&[
        copy_key(&scratch_key(), &copy, &digest("a"), None),
        copy_key(&scratch_key(), &copy, &digest("b"), None),
        copy_key(&other_input, &copy, &digest("a"), None),
        copy_source_key(&scratch_key(), &copy, &scratch_key()),
        copy_source_key(&scratch_key(), &copy, &other_input),
        copy_source_key(&other_input, &copy, &scratch_key()),
    ]);
    let run = only_run("FROM a\nRUN --mount=target=/x y\n", &crate::support::options());
    let with = |mounts: &[Digest]| run_key(&scratch_key(), &run, &amd64(), mounts, &[], 0);
    all_differ(&[with(&[]), with(&[digest("a")]), with(&[digest("b")]), with(&[digest("a"), digest("b")])]);
}

/// Parts whose joined text is equal (5).
#[test]
fn parts_are_framed() {
    all_differ(&[
        copy_text("FROM a\nCOPY a b c /d\n"),
        copy_text("FROM a\nCOPY ab c /d\n"),
        copy_text("FROM a\nCOPY a bc /d\n"),
        copy_text("FROM a\nCOPY [\"a b\", \"c\", \"/d\"]\n"),
        copy_text("FROM a\nCOPY --exclude=b a c /d\n"),
        copy_text("FROM a\nCOPY --chown=b a c /d\n"),
    ]);
    all_differ(&[
        run_text("FROM a\nENV a-b=c\nRUN x\n"),
        run_text("FROM a\nENV a=b-c\nRUN x\n"),
        run_text("FROM a\nENV a=b c=d\nRUN x\n"),
        run_text("FROM a\nENV a=\"b c=d\"\nRUN x\n"),
    ]);
    all_differ(&[
        run_text("FROM a\nRUN [\"a\", \"b\"]\n"),
        run_text("FROM a\nRUN [\"a b\"]\n"),
        run_text("FROM a\nRUN [\"ab\"]\n"),
        run_text("FROM a\nRUN [\"a\", \"b\", \"\"]\n"),
    ]);
    let hosts = |hosts: &[&str]| {
        let run = only_run("FROM a\nRUN x\n", &crate::support::options());
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
        run_key(&scratch_key(), &run, &amd64(), &[], &hosts, 0)
    };
    all_differ(&[hosts(&[]), hosts(&["ab"]), hosts(&["a", "b"]), hosts(&["a"])]);
}

/// Body of a heredoc (6).
#[test]
fn heredoc_bodies_count() {
    all_differ(&[
        copy_text("FROM a\nCOPY <<f /\none\nf\n"),
        copy_text("FROM a\nCOPY <<f /\ntwo\nf\n"),
        copy_text("FROM a\nCOPY <<g /\none\ng\n"),
        copy_text("FROM a\nENV V=one\nCOPY <<f /\n$V!\nf\n"),
        copy_text("FROM a\nENV V=two\nCOPY <<f /\n$V!\nf\n"),
    ]);
    all_differ(&[
        run_text("FROM a\nRUN <<f\necho one\nf\n"),
        run_text("FROM a\nRUN <<f\necho two\nf\n"),
        run_text("FROM a\nRUN <<f\n#!/bin/sh\none\nf\n"),
        run_text("FROM a\nRUN <<f\n#!/bin/sh\ntwo\nf\n"),
        run_text("FROM a\nRUN /dev/pipes/f\n"),
    ]);
}

/// ARG or ENV used by COPY, ADD, WORKDIR (7).
#[test]
fn variables_of_copy_and_workdir_count() {
    all_differ(&[
        copy_text("FROM a\nARG V=1\nCOPY a$V /\n"),
        copy_text("FROM a\nARG V=2\nCOPY a$V /\n"),
        copy_text("FROM a\nENV V=1\nCOPY a /$V\n"),
        copy_text("FROM a\nENV V=2\nCOPY a /$V\n"),
        copy_text("FROM a\nENV V=1\nCOPY --chown=$V a /\n"),
        copy_text("FROM a\nENV V=1\nCOPY --chmod=$V a /\n"),
        copy_text("FROM a\nENV V=1\nADD a /$V\n"),
    ]);
    let workdir = |path: &str, user: &str, names: Option<&str>| {
        let workdir = Workdir { path: path.into(), user: user.into(), no_cache: false };
        workdir_key(&scratch_key(), &workdir, names.map(digest).as_ref())
    };
    all_differ(&[
        workdir("/a", "", None),
        workdir("/b", "", None),
        workdir("/a", "u", None),
        workdir("/a", "u", Some("passwd")),
        workdir("/a", "u", Some("other passwd")),
    ]);
}

/// A build-arg that only reaches the environment of RUN counts, proxies do not (11).
#[test]
fn arguments_count_and_proxies_do_not() {
    let text = "FROM a\nARG V\nRUN x\n";
    let key = |args: &[(&str, &str)]| key_of_run(&only_run(text, &with_args(args)));
    assert_ne!(key(&[("V", "1")]), key(&[("V", "2")]));
    assert_ne!(key(&[]), key(&[("V", "")]));
    assert_eq!(key(&[]), key(&[("http_proxy", "h")]));
    assert_eq!(key(&[]), key(&[("UNDECLARED", "h")]));
}

/// SHELL, USER, WORKDIR, network, security of a RUN (12).
#[test]
fn surroundings_of_run_count() {
    all_differ(&[
        run_text("FROM a\nRUN x\n"),
        run_text("FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nRUN x\n"),
        run_text("FROM a\nUSER u\nRUN x\n"),
        run_text("FROM a\nWORKDIR /w\nRUN x\n"),
        run_text("FROM a\nRUN --network=none x\n"),
        run_text("FROM a\nRUN --network=host x\n"),
        run_text("FROM a\nRUN --security=insecure x\n"),
        run_text("FROM a\nRUN --mount=type=tmpfs,target=/t x\n"),
        run_text("FROM a\nRUN --mount=type=tmpfs,target=/t,size=1m x\n"),
        run_text("FROM a\nRUN --mount=type=tmpfs,target=/u x\n"),
        run_text("FROM a\nRUN --mount=target=/t x\n"),
        run_text("FROM a\nRUN --mount=target=/t,rw x\n"),
        run_text("FROM a\nRUN --mount=target=/t,source=s x\n"),
        run_text("FROM a\nRUN --mount=type=ssh x\n"),
    ]);
    let run = only_run("FROM a\nRUN x\n", &crate::support::options());
    assert_eq!((run.network, run.security), (Network::Default, Security::Sandbox));
}

/// passwd and group when `--chown` uses names (13).
#[test]
fn accounts_count() {
    let copy = only_copy("FROM a\nCOPY --chown=u x y\n");
    let key = |names: Option<&str>| copy_key(&scratch_key(), &copy, &digest("c"), names.map(digest).as_ref());
    all_differ(&[key(None), key(Some("passwd")), key(Some("other"))]);
}

/// Platform, variant, base digest behind an unchanged tag (14).
#[test]
fn platforms_and_digests_count() {
    let platform = |text: &str| text.parse::<Platform>().unwrap();
    let windows = Platform { os_version: Some("10".into()), ..platform("windows/amd64") };
    all_differ(&[
        scratch_key(),
        image_key(Some(&digest("a")), &platform("linux/amd64")),
        image_key(Some(&digest("b")), &platform("linux/amd64")),
        image_key(Some(&digest("a")), &platform("linux/arm/v6")),
        image_key(Some(&digest("a")), &platform("linux/arm/v7")),
        image_key(Some(&digest("a")), &platform("windows/amd64")),
        image_key(Some(&digest("a")), &windows),
    ]);
    let run = only_run("FROM a\nRUN x\n", &crate::support::options());
    let on = |text: &str| run_key(&scratch_key(), &run, &platform(text), &[], &[], 0);
    all_differ(&[on("linux/amd64"), on("linux/arm/v6"), on("linux/arm/v7")]);
}

/// Secret ids count (their values never come near a key) (17).
#[test]
fn secrets_count_by_name() {
    all_differ(&[
        run_text("FROM a\nRUN --mount=type=secret,id=a x\n"),
        run_text("FROM a\nRUN --mount=type=secret,id=b,target=/run/secrets/a x\n"),
        run_text("FROM a\nRUN --mount=type=secret,id=a,env=A x\n"),
        run_text("FROM a\nRUN --mount=type=secret,id=a,mode=0444 x\n"),
    ]);
}

/// Cache ids of the default shape, and sharing, cause no misses (18).
#[test]
fn caches_count_by_what_the_process_sees() {
    let plain = run_text("FROM a\nRUN --mount=type=cache,target=/c x\n");
    assert_eq!(plain, run_text("FROM a\nRUN --mount=type=cache,target=/c,id=/c x\n"));
    assert_eq!(plain, run_text("FROM a\nRUN --mount=type=cache,target=/c,sharing=locked x\n"));
    all_differ(&[
        plain,
        run_text("FROM a\nRUN --mount=type=cache,target=/d x\n"),
        run_text("FROM a\nRUN --mount=type=cache,target=/c,id=named x\n"),
        run_text("FROM a\nRUN --mount=type=cache,target=/c,mode=0700 x\n"),
        run_text("FROM a\nRUN --mount=type=cache,target=/c,uid=1 x\n"),
        run_text("FROM a\nRUN --mount=type=cache,target=/c,ro x\n"),
    ]);
}

#[test]
fn time_of_the_result_counts() {
    let run = only_run("FROM a\nRUN x\n", &crate::support::options());
    let at = |epoch| run_key(&scratch_key(), &run, &amd64(), &[], &[], epoch);
    assert_ne!(at(0), at(1));
    let copy = copy_text("FROM a\nCOPY x y\n");
    all_differ(&[copy, copy.dated(0), copy.dated(1)]);
}

/// Places, cache switches and the name of a context are no part of the meaning.
#[test]
fn what_must_not_count() {
    assert_eq!(run_text("FROM a\nRUN x\n"), run_text("# comment\n\nFROM a\nRUN   x\n"));
    assert_eq!(run_text("FROM a\nLABEL a=b\nRUN x\n"), run_text("FROM a\nRUN x\n"));
    let no_cache = Options { no_cache: true, ..crate::support::options() };
    assert_eq!(key_of_run(&only_run("FROM a\nRUN x\n", &no_cache)), run_text("FROM a\nRUN x\n"));
    let copy = only_copy("FROM a\nCOPY x y\n");
    let named = Copy { from: Source::NamedContext("n".into()), ..copy.clone() };
    assert_eq!(key_of_copy(&copy), key_of_copy(&named));
}

#[test]
fn every_switch_of_copy_counts() {
    let copy = only_copy("FROM a\nCOPY x y\n");
    let with = |change: &dyn Fn(&mut Copy)| {
        let mut changed = copy.clone();
        change(&mut changed);
        key_of_copy(&changed)
    };
    all_differ(&[
        key_of_copy(&copy),
        with(&|c| c.parents = true),
        with(&|c| c.link = true),
        with(&|c| c.unpack = true),
        with(&|c| c.destination = "/y/".into()),
        with(&|c| c.chmod = Some(Chmod::Octal(0o755))),
        with(&|c| c.chmod = Some(Chmod::Octal(0o644))),
        with(&|c| c.chmod = Some(Chmod::Symbolic("755".into()))),
        with(&|c| c.from = Source::Fs(jettison_plan::Fs::Scratch)),
    ]);
}

/// Keys lie in databases: what they are may change only on purpose, together with the version in `key.rs`.
#[test]
fn keys_are_stable() {
    insta::assert_snapshot!(scratch_key(), @"bfe1c2f9cf117a433a581e265b7c2a3ed5c557283c10938bda086ea98ceb9c8c");
    insta::assert_snapshot!(run_text("FROM a\nARG V=1\nRUN --mount=type=cache,target=/c x\n"), @"9510147a9457ce944b4f6bc2f8e4c8c46c6060efd4d1b2155cc0f6322fd019b1");
    insta::assert_snapshot!(copy_text("FROM a\nCOPY --chmod=755 x y\n"), @"d2a0410d8ba60de0e01138906bcfd3f0b9546a2ba46f61d5d8b729b3c6f1d2ee");
}

#[test]
fn keys_are_read_back() {
    let key = scratch_key();
    assert_eq!(key.to_string().parse::<Key>(), Ok(key));
    for text in ["", "zz", &"A".repeat(64), &"é".repeat(32), &"0".repeat(63)] {
        assert!(text.parse::<Key>().is_err(), "{text}");
    }
}

fn strings() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[ab=\\x00-]{0,3}", 0..4)
}

#[test]
fn the_name_of_the_host_counts() {
    let named = |name| {
        let options = crate::support::with_args(&[("BUILDKIT_SANDBOX_HOSTNAME", name)]);
        key_of_run(&only_run("FROM a\nRUN x\n", &options))
    };
    all_differ(&[named("one"), named("two"), run_text("FROM a\nRUN x\n")]);
    assert_eq!(named(""), run_text("FROM a\nRUN x\n"));
}

proptest! {
    /// Two RUNs have one key only if they are the same in everything that counts.
    #[test]
    fn run_keys_are_injective(
        a in (strings(), strings(), "[ab]{0,2}", "[ab]{0,2}"),
        b in (strings(), strings(), "[ab]{0,2}", "[ab]{0,2}"),
    ) {
        let template = only_run("FROM a\nRUN x\n", &crate::support::options());
        let build = |(argv, env, cwd, user): &(Vec<String>, Vec<String>, String, String)| Run {
            argv: argv.clone(),
            env: env.clone(),
            cwd: cwd.clone(),
            user: user.clone(),
            ..template.clone()
        };
        prop_assert_eq!(a == b, key_of_run(&build(&a)) == key_of_run(&build(&b)));
    }

    #[test]
    fn copy_keys_are_injective(
        a in (strings(), strings(), "[ab]{0,2}", prop::option::of("[ab]{0,2}")),
        b in (strings(), strings(), "[ab]{0,2}", prop::option::of("[ab]{0,2}")),
    ) {
        let template = only_copy("FROM a\nCOPY x y\n");
        let build = |(sources, excludes, destination, chown): &(Vec<String>, Vec<String>, String, Option<String>)| Copy {
            sources: sources.iter().map(|s| (s.clone(), template.sources[0].1)).collect(),
            excludes: excludes.clone(),
            destination: destination.clone(),
            chown: chown.clone(),
            ..template.clone()
        };
        prop_assert_eq!(a == b, key_of_copy(&build(&a)) == key_of_copy(&build(&b)));
    }
}

#[test]
fn sharing_is_an_enumeration_of_three() {
    let sharing = [Sharing::Shared, Sharing::Private, Sharing::Locked];
    let run = |sharing| {
        let mut run = only_run("FROM a\nRUN --mount=type=cache,target=/c x\n", &crate::support::options());
        if let MountKind::Cache { sharing: s, .. } = &mut run.mounts[0].kind {
            *s = sharing;
        }
        key_of_run(&run)
    };
    assert!(sharing.windows(2).all(|pair| run(pair[0]) == run(pair[1])));
}
