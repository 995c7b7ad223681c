//! Mounts as tables: what each text means, and what each mistake is called.

use std::collections::BTreeMap;

use super::*;

fn bind() -> RawMount {
    RawMount { read_only: true, ..RawMount::default() }
}

fn of(mount_type: MountType) -> RawMount {
    let read_only = !matches!(mount_type, MountType::Cache | MountType::Tmpfs);
    RawMount { mount_type, read_only, ..RawMount::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "reads well in the table")]
fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[test]
fn meanings() {
    let cases = [
        ("target=/x", RawMount { target: text("/x"), ..bind() }),
        ("dst=/x", RawMount { target: text("/x"), ..bind() }),
        ("DESTINATION=/x", RawMount { target: text("/x"), ..bind() }),
        (
            "type=bind,src=a,dst=/x,rw",
            RawMount { source: text("a"), target: text("/x"), read_only: false, ..bind() },
        ),
        ("target=/x,readwrite=false", RawMount { target: text("/x"), ..bind() }),
        ("target=/x,ro=0", RawMount { target: text("/x"), read_only: false, ..bind() }),
        ("type=CACHE,target=/c", RawMount { target: text("/c"), ..of(MountType::Cache) }),
        (
            "type=cache,target=/c,id=i,sharing=Locked,mode=0700,uid=1,gid=2,from=b,source=s,ro",
            RawMount {
                target: text("/c"),
                id: text("i"),
                sharing: Sharing::Locked,
                mode: Some(0o700),
                uid: Some(1),
                gid: Some(2),
                from: text("b"),
                source: text("s"),
                read_only: true,
                ..of(MountType::Cache)
            },
        ),
        (
            "type=tmpfs,target=/t,size=64m",
            RawMount { target: text("/t"), size_bytes: Some(64 << 20), ..of(MountType::Tmpfs) },
        ),
        ("type=secret,id=s", RawMount { id: text("s"), ..of(MountType::Secret) }),
        (
            "type=secret,source=s,required",
            RawMount { id: text("s"), required: true, ..of(MountType::Secret) },
        ),
        (
            "type=secret,id=s,env=TOKEN,required=true",
            RawMount { id: text("s"), env: text("TOKEN"), required: true, ..of(MountType::Secret) },
        ),
        ("type=secret,target=/a/b", RawMount { target: text("/a/b"), ..of(MountType::Secret) }),
        ("type=ssh", of(MountType::Ssh)),
        ("type=ssh,required=false,mode=600", RawMount { mode: Some(0o600), ..of(MountType::Ssh) }),
        ("\"target=/a,b\"", RawMount { target: text("/a,b"), ..bind() }),
        ("from=", bind()),
    ];
    for (csv, expected) in cases {
        assert_eq!(parse(csv), Ok(expected), "{csv}");
    }
}

#[test]
fn mistakes() {
    let cases = [
        ("typ=bind", "unexpected key 'typ' in 'typ=bind' (did you mean type?)"),
        ("type=bnd", "unsupported mount type \"bnd\" (did you mean bind?)"),
        ("type=", "unsupported mount type \"\""),
        ("type=cache,sharing=lockd", "unsupported sharing value \"lockd\" (did you mean locked?)"),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("required,type=secret", "unexpected key 'required' for mount type 'bind'"),
        ("required=true", "unexpected key 'required' for mount type 'bind'"),
        ("size=1,type=tmpfs", "unexpected key 'size' for mount type 'bind'"),
        ("type=cache,size=1", "unexpected key 'size' for mount type 'cache'"),
        ("type=tmpfs,size=x", "invalid value for size: x"),
        ("type=secret,required=x", "invalid value for required: x"),
        ("ro=x", "invalid value for ro: x"),
        ("mode=0700", "mode not allowed for \"bind\" type mounts"),
        ("type=tmpfs,uid=1", "uid not allowed for \"tmpfs\" type mounts"),
        ("gid=1", "gid not allowed for \"bind\" type mounts"),
        ("type=cache,mode=8", "invalid value 8 for mode"),
        ("type=cache,uid=-1", "invalid value -1 for uid"),
        ("type=cache,gid=+1", "invalid value +1 for gid"),
        ("sharing=locked", "invalid cache sharing set for bind mount"),
        ("type=ssh,sharing=locked", "invalid cache sharing set for ssh mount"),
        ("type=ssh,source=x", "ssh does not support source"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,source=b", "both source and id can't be set"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
        ("type=secret,id=a,sharing=locked", "secret mount should not define sharing"),
        ("", "failed to parse csv mounts: EOF"),
        ("target=\"/x\"", "failed to parse csv mounts: bare \" in non-quoted-field"),
    ];
    for (csv, expected) in cases {
        assert_eq!(parse(csv), Err(expected.to_owned()), "{csv}");
    }
}

#[test]
fn values_are_expanded_one_by_one() {
    let env: BTreeMap<String, String> =
        [("T", "cache"), ("P", "/a,b"), ("Q", "\"q\"")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let found = parse_expanding("type=$T,target=$P,id=${I:-x}", '\\', &env);
    assert_eq!(found, Ok(RawMount { target: text("/a,b"), id: text("x"), ..of(MountType::Cache) }));
    let found = parse_expanding("target=$Q'$P'", '\\', &env);
    assert_eq!(found, Ok(RawMount { target: text("\"q\"$P"), ..bind() }));
    assert_eq!(parse_expanding("target=${A:?no}", '\\', &env), Err("A: no".to_owned()));
}

#[test]
fn what_is_wrong_before_expansion() {
    let cases = [
        ("from=$x,target=${y:-z}", Ok(())),
        ("nonsense=1", Ok(())),
        ("\"", Err("failed to parse csv mounts: extraneous or missing \" in quoted-field")),
    ];
    for (csv, expected) in cases {
        assert_eq!(check_unexpanded(csv), expected.map_err(str::to_owned), "{csv}");
    }
}
