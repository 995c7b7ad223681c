//! `jettison diff` of every kind of image.

use std::fs;

use crate::fixture::{Jettison, Ran, Registry, folder};

const FIRST: &str = r#"FROM busybox
RUN mkdir -p /app/old && echo 1 > /app/old/x && echo 22 > /app/old/y && echo same > /app/same
RUN echo one > /app/run && ln -s run /app/link && echo gone > /app/gone
ENV MODE=one KEPT=1
EXPOSE 80
LABEL who=me
CMD ["sh"]
"#;

const SECOND: &str = r#"FROM busybox
RUN mkdir -p /app/old && echo 1 > /app/old/x && echo 22 > /app/old/y && echo same > /app/same
RUN rm -r /app/old && echo three > /app/run && chmod 755 /app/run && chown 7:8 /app/same && ln -s same /app/link
RUN mkdir -p /new/deep && echo abc > /new/deep/file && echo abc > /new/other && mkdir /app/gone
ENV KEPT=1 MODE=two NEW=x
EXPOSE 443
USER 1000
CMD ["sh", "-c", "date"]
"#;

/// Two images, `one` and `two`.
fn images() -> Jettison {
    let jettison = Jettison::with_busybox();
    for (name, dockerfile) in [("one", FIRST), ("two", SECOND)] {
        jettison.build(folder(dockerfile, &[]).path(), &["-t", name, "-q"]);
    }
    jettison
}

/// Sizes and digests of compressed layers are the encoder's business.
fn stable(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for line in lines.iter_mut().take(4) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        *line = match &fields[..] {
            [letter, name, _, platform, layers, files, _] if *letter != "IMAGE" => {
                format!("{letter} {name} DIGEST {platform} {layers} {files} PULL")
            }
            _ => fields.join(" "),
        };
    }
    lines.join("\n")
}

#[test]
fn files_and_config_and_size() {
    let jettison = images();
    let text = jettison.run(&["diff", "one", "two"]).ok();
    let change = text.lines().nth(3).unwrap().to_owned();
    assert!(change.trim().starts_with("2 shared"), "{change}");
    let rest = stable(&text).replace(&change.split_whitespace().collect::<Vec<_>>().join(" "), "CHANGE");
    let rest: Vec<&str> = rest.lines().filter(|line| !line.starts_with(['A', 'B'])).collect();
    insta::assert_snapshot!(rest.join("\n"), @r#"
    IMAGE DIGEST PLATFORM LAYERS FILES TO PULL
    CHANGE

    FILES: 4 added, 3 removed, 4 changed, 286 the same
    + /new/  2 files, 8B
    - /app/old/  2 files, 5B
    ~ /app/gone  file → directory
    ~ /app/link  target run → same
    ~ /app/run  content, size 4B → 6B, mode 0644 → 0755
    ~ /app/same  owner 0:0 → 7:8

    CONFIG
    ~ CMD  ["sh"] → ["sh","-c","date"]
    ~ ENV MODE  "one" → "two"
    + ENV NEW  "x"
    + EXPOSE 443/tcp
    - EXPOSE 80/tcp
    - LABEL who  "me"
    + USER  "1000"
    "#);
}

#[test]
fn json_has_everything() {
    let jettison = images();
    let json = jettison.run(&["diff", "--format=json", "one", "two"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    for side in [&json["from"], &json["to"]] {
        assert!(side["digest"].as_str().unwrap().starts_with("sha256:"));
        assert!(side["compressedBytes"].as_u64().unwrap() > 100_000);
    }
    assert_eq!((&json["sharedLayers"], &json["to"]["layers"]), (&2.into(), &4.into()));
    let mut lines = Vec::new();
    for (name, list) in [
        ("added", &json["files"]["added"]),
        ("removed", &json["files"]["removed"]),
        ("changed", &json["files"]["changed"]),
        ("config", &json["config"]),
    ] {
        lines.extend(list.as_array().unwrap().iter().map(|item| format!("{name} {item}")));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    added {"bytes":0,"path":"/new","type":"directory"}
    added {"bytes":0,"path":"/new/deep","type":"directory"}
    added {"bytes":4,"path":"/new/deep/file","type":"file"}
    added {"bytes":4,"path":"/new/other","type":"file"}
    removed {"bytes":0,"path":"/app/old","type":"directory"}
    removed {"bytes":2,"path":"/app/old/x","type":"file"}
    removed {"bytes":3,"path":"/app/old/y","type":"file"}
    changed {"differences":[{"from":"file","to":"directory","what":"type"}],"path":"/app/gone"}
    changed {"differences":[{"from":"run","to":"same","what":"target"}],"path":"/app/link"}
    changed {"differences":[{"what":"content"},{"from":4,"to":6,"what":"size"},{"from":"0644","to":"0755","what":"mode"}],"path":"/app/run"}
    changed {"differences":[{"from":"0:0","to":"7:8","what":"owner"}],"path":"/app/same"}
    config {"from":["sh"],"name":"CMD","to":["sh","-c","date"]}
    config {"from":"one","name":"ENV MODE","to":"two"}
    config {"from":null,"name":"ENV NEW","to":"x"}
    config {"from":null,"name":"EXPOSE 443/tcp","to":{}}
    config {"from":{},"name":"EXPOSE 80/tcp","to":null}
    config {"from":"me","name":"LABEL who","to":null}
    config {"from":null,"name":"USER","to":"1000"}
    "#);
}

#[test]
fn the_exit_code_says_so_only_if_asked() {
    let jettison = images();
    assert_eq!(jettison.run(&["diff", "one", "two"]).code, 0);
    assert_eq!(jettison.run(&["diff", "--exit-code", "one", "two"]).code, 1);
    let same = jettison.run(&["diff", "--exit-code", "one", "one"]);
    assert!(same.stdout.ends_with("\nthe same image\n"), "{}", same.stdout);
    assert_eq!(same.code, 0);
    assert_eq!(jettison.run(&["diff", "one", "nothing-here:latest", "--platform", "bogus"]).code, 2);
}

#[test]
fn times_alone_are_counted_and_listed_on_request() {
    let jettison = Jettison::with_busybox();
    let dockerfile = "FROM busybox\nRUN mkdir /d && touch -d @86400 /d/a\n";
    let later = "FROM busybox\nRUN mkdir /d && touch -d @90000 /d/a\n";
    for (name, text) in [("one", dockerfile), ("two", later)] {
        jettison.build(folder(text, &[]).path(), &["-t", name, "-q"]);
    }
    let ran = jettison.run(&["diff", "--exit-code", "one", "two"]);
    assert!(ran.stdout.contains("1 differ in nothing but their time (--times lists them)"), "{}", ran.stdout);
    assert!(ran.stdout.contains("the same files and the same config"), "{}", ran.stdout);
    assert_eq!(ran.code, 0);
    let ran = jettison.run(&["diff", "--exit-code", "--times", "one", "two"]);
    assert!(ran.stdout.contains("~ /d/a  time 86400 → 90000\n"), "{}", ran.stdout);
    assert_eq!(ran.code, 1);
}

#[test]
fn any_kind_of_image_can_be_compared_with_any_other() {
    let jettison = images();
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name).display().to_string();
    let output = |spec: &str| spec.replace("DIR", out.path().to_str().unwrap());
    for spec in ["type=docker,dest=DIR/d.tar", "type=oci,dest=DIR/o.tar", "type=oci,dest=DIR/o,tar=false"] {
        jettison.build(folder(FIRST, &[]).path(), &["-q", "-t", "one", "-o", &output(spec)]);
    }
    let fresh = Jettison::new();
    let is_same = |ran: Ran, what: &str| {
        assert!(ran.code == 0 && !ran.stdout.contains('~'), "{what}: {}{}", ran.stdout, ran.stderr);
    };
    for image in [path("d.tar"), path("o.tar"), path("o"), format!("docker-archive:{}", path("d.tar"))] {
        is_same(fresh.run(&["diff", "--exit-code", &path("o.tar"), &image]), &image);
        assert_eq!(jettison.run(&["diff", "--exit-code", "two", &image]).code, 1, "{image}");
    }
    let both = path("both.tar");
    jettison.run(&["save", "-o", &both, "one", "two"]).ok();
    let stderr = fresh.run(&["diff", &both, &path("o")]).fails(4);
    assert!(stderr.contains("it has 2 images") && stderr.contains("jettison load -i"), "{stderr}");
    fs::remove_file(&both).unwrap();
    let Some(registry) = Registry::start("") else { return };
    jettison.run(&["push", "-q", "one", &registry.name("x/app:1")]).ok();
    is_same(fresh.run(&["diff", "--exit-code", &registry.name("x/app:1"), &path("o")]), "registry");
}
