//! `RUN --mount`.

use crate::support::{dumped, errors, planned_with, with_args};
use jettison_plan::{Action, MountKind};

/// The mount lines of the dump.
fn mounts(text: &str) -> String {
    let dump = dumped(text);
    let lines: Vec<&str> = dump.lines().map(str::trim).filter(|line| line.starts_with("mount ")).collect();
    if lines.is_empty() { dump } else { lines.join("\n") }
}

#[test]
fn binds() {
    let text = "FROM a AS s\nRUN x\nFROM b\nWORKDIR /w\nRUN --mount=target=. --mount=type=bind,source=sub/,target=/t,rw --mount=from=s,src=/../x,dst=rel --mount=from=img:1,target=/i y\n";
    insta::assert_snapshot!(mounts(text), @r#"
    mount "/w": bind / of context
    mount "/t": bind /sub of context writable
    mount "/w/rel": bind /x of step 0
    mount "/i": bind / of image 2
    "#);
}

#[test]
fn caches() {
    let text = "FROM a AS s\nRUN x\nFROM b\nWORKDIR /w\nRUN --mount=type=cache,target=/c//d/ --mount=type=cache,target=rel,sharing=locked,mode=0700,uid=1,gid=2 --mount=type=cache,target=/e,id=name,from=s,source=/base,ro,sharing=private --mount=type=cache,target=/f,from=scratch y\n";
    insta::assert_snapshot!(mounts(text), @r#"
    mount "/c/d": cache /c/d shared 0755 0:0
    mount "/w/rel": cache rel locked 0700 1:2
    mount "/e": cache name private base /base of step 0 0755 0:0 read-only
    mount "/f": cache /f shared 0755 0:0
    "#);
}

#[test]
fn a_cache_name_space() {
    let plan = planned_with(
        "FROM b\nRUN --mount=type=cache,target=/c y\n",
        &with_args(&[("BUILDKIT_CACHE_MOUNT_NS", "ns")]),
    );
    let Action::Run(run) = &plan.steps[0].action else { panic!("a RUN") };
    assert!(matches!(&run.mounts[0].kind, MountKind::Cache { id, .. } if id == "ns//c"));
}

#[test]
fn memory_secrets_and_agents() {
    let text = "FROM b\nRUN --mount=type=tmpfs,target=/t,size=64m --mount=type=secret,id=a/b --mount=type=secret,id=c,target=/c,mode=0440,uid=1,required --mount=type=secret,id=d,env=D --mount=type=secret,id=e,env=E,target=/e --mount=type=secret,target=/x/f --mount=type=ssh --mount=type=ssh,id=g y\n";
    insta::assert_snapshot!(mounts(text), @r#"
    mount "/t": tmpfs 67108864 bytes
    mount "/run/secrets/b": secret a/b file 0400 0:0
    mount "/c": secret c file 0440 1:0 required
    mount "": secret d env D
    mount "/e": secret e env E file 0400 0:0
    mount "/x/f": secret f file 0400 0:0
    mount "/run/buildkit/ssh_agent.0": ssh default 0600 0:0
    mount "/run/buildkit/ssh_agent.1": ssh g 0600 0:0
    "#);
}

#[test]
fn variables() {
    let text = "FROM a AS s\nRUN x\nFROM b\nARG T=cache\nENV D=/a,b ID=i\nRUN --mount=type=$T,id=$ID,\"target=$D\" y\nARG F=s\nRUN --mount=from=$F,target=/m z\n";
    insta::assert_snapshot!(mounts(text), @r#"
    mount "/a,b": cache i shared 0755 0:0
    mount "/m": bind / of step 0
    "#);
}

#[test]
fn of_two_with_one_target_the_last_wins_at_the_first_place() {
    let text = "FROM b\nRUN --mount=type=tmpfs,target=/t --mount=type=tmpfs,target=/u --mount=type=cache,target=/t y\n";
    insta::assert_snapshot!(mounts(text), @r#"
    mount "/t": cache /t shared 0755 0:0
    mount "/u": tmpfs
    "#);
}

#[test]
fn refused() {
    insta::assert_snapshot!(errors("FROM b\nRUN --mount=type=bind,target=/ y\n"), @r#"
    2:13 [type=bind,target=/] mount: invalid mount target "/"
    "#);
    insta::assert_snapshot!(errors("FROM b\nRUN --mount=type=secret y\n"), @"2:13 [type=secret] mount: invalid secret mount. one of source, target required");
    insta::assert_snapshot!(errors("FROM b\nRUN --mount=typ=cache,target=/x y\n"), @"2:13 [typ=cache,target=/x] mount: unexpected key 'typ' in 'typ=cache' (did you mean type?)");
    insta::assert_snapshot!(errors("FROM b\nARG M=99\nRUN --mount=type=cache,target=/x,mode=$M y\n"), @"3:13 [type=cache,target=/x,mode=$M] mount: invalid value 99 for mode");
}
