//! Bad input: one error, in the right place, with a hint; and nothing is changed by it.

use std::fs;
use std::process::Command;

use crate::fixture::{Jettison, Ran, Registry, busybox_archive, folder, have, root};

/// The message without the snippet's frame.
fn first_line(stderr: &str) -> &str {
    stderr.lines().find(|line| line.starts_with("error")).unwrap_or(stderr)
}

#[track_caller]
fn fails(dockerfile: &str, code: i32, place: &str, words: &[&str]) {
    let jettison = Jettison::with_busybox();
    let folder = folder(dockerfile, &[("main.go", "package main\n")]);
    let stderr = jettison.try_build(folder.path(), &[]).fails(code);
    let place = format!("Dockerfile:{place}: ");
    assert!(first_line(&stderr).contains(&place), "no {place} in:\n{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in:\n{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn unknown_instruction_with_the_nearest_name() {
    fails("FROM busybox\nCOPPY a b\n", 3, "2:1", &["COPPY", "did you mean COPY?"]);
}

#[test]
fn unknown_flag_with_the_nearest_name() {
    fails("FROM busybox\nCOPY --form=x a b\n", 3, "2:6", &["form", "from"]);
}

#[test]
fn missing_source_with_the_nearest_name() {
    fails("FROM scratch\nCOPY main.og /\n", 3, "2:6", &["not found", "main.go"]);
}

#[test]
fn missing_stage() {
    fails(
        "FROM busybox AS build\nFROM scratch\nCOPY --from=3 /a /b\n",
        3,
        "3:13",
        &["invalid stage index 3"],
    );
}

#[test]
fn a_mistyped_stage_is_taken_for_an_image_and_the_stage_is_named() {
    let Some(registry) = Registry::start("") else { return };
    let jettison = Jettison::with_busybox();
    let mirror = format!(
        "[[registry]]\nprefix = \"docker.io\"\nlocation = \"127.0.0.1:{}\"\ninsecure = true\n",
        registry.port
    );
    let configuration = jettison.home().join("registries.conf");
    fs::write(&configuration, mirror).unwrap();
    let jettison = jettison.env("CONTAINERS_REGISTRIES_CONF", configuration.to_str().unwrap());
    let folder = folder("FROM busybox AS build\nFROM scratch\nCOPY --from=biuld /a /b\n", &[]);
    let stderr = jettison.try_build(folder.path(), &[]).fails(4);
    assert!(first_line(&stderr).contains("Dockerfile:3:13"), "{stderr}");
    assert!(stderr.contains("did you mean the stage build?"), "{stderr}");
}

#[test]
fn unknown_target_with_the_nearest_name() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox AS builder\nRUN true\n", &[]);
    let stderr = jettison.try_build(folder.path(), &["--target", "bilder"]).fails(3);
    assert!(stderr.contains("bilder") && stderr.contains("builder"), "{stderr}");
}

#[test]
fn several_syntax_errors_at_once() {
    let jettison = Jettison::new();
    let folder = folder("FROM scratch\nFOO x\nENV A\nCOPY a\n", &[]);
    let stderr = jettison.try_build(folder.path(), &[]).fails(3);
    for place in ["Dockerfile:2:", "Dockerfile:3:", "Dockerfile:4:"] {
        assert!(stderr.contains(place), "no {place} in:\n{stderr}");
    }
}

#[test]
fn a_failing_run_says_command_exit_code_and_last_lines() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nRUN echo one; echo two >&2; exit 7\n", &[]);
    let stderr = jettison.try_build(folder.path(), &["--progress=quiet"]).fails(1);
    for word in ["exit code: 7", "one", "two", "Dockerfile:2:1", "exit 7"] {
        assert!(stderr.contains(word), "no {word:?} in:\n{stderr}");
    }
}

#[test]
fn errors_in_a_needed_stage_come_before_the_first_step_runs() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nRUN echo ran-anyway\nCOPY missing /\n", &[]);
    let stderr = jettison.try_build(folder.path(), &[]).fails(3);
    assert!(!stderr.contains("0.0 ran-anyway") && stderr.contains("not found"), "{stderr}");
}

#[test]
fn a_missing_base_names_the_registry_and_the_place() {
    let Some(registry) = Registry::start("") else { return };
    let jettison = Jettison::new();
    let folder = folder(&format!("FROM {}\n", registry.name("nothing:here")), &[]);
    let stderr = jettison.try_build(folder.path(), &[]).fails(4);
    assert!(first_line(&stderr).contains("Dockerfile:1:6"), "{stderr}");
    assert!(stderr.contains("nothing"), "{stderr}");
}

#[test]
fn a_registry_that_is_down() {
    let jettison = Jettison::new();
    let folder = folder("FROM 127.0.0.1:9/nothing:here\n", &[]);
    let stderr = jettison.try_build(folder.path(), &[]).fails(4);
    assert!(stderr.contains("127.0.0.1:9") && stderr.contains("Dockerfile:1:6"), "{stderr}");
    assert!(stderr.contains("hint:") || stderr.contains("help:"), "{stderr}");
}

#[test]
fn a_store_that_cannot_be_written() {
    let folder = folder("FROM scratch\nCOPY Dockerfile /\n", &[]);
    // A file in the place of the store: not writable for root either.
    let blocked = folder.path().join("store");
    fs::write(&blocked, "in the way").unwrap();
    let jettison = Jettison::new().env("JETTISON_ROOT", blocked.to_str().unwrap());
    let stderr = jettison.try_build(folder.path(), &[]).fails(5);
    assert!(stderr.contains("store") && stderr.contains("hint:"), "{stderr}");
    assert_eq!(fs::read_to_string(&blocked).unwrap(), "in the way");
}

/// Runs a shell script with namespaces of its own, in which `$JETTISON` is the program; mounts made there are ours alone.
fn in_namespaces(jettison: &Jettison, flags: &[&str], script: &str, arguments: &[&str]) -> Ran {
    let plain = jettison.command();
    let mut command = std::process::Command::new("unshare");
    command.args(flags).args(["sh", "-euc", script, "sh"]).args(arguments).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("JETTISON", plain.get_program()).output().unwrap().into()
}

#[test]
fn a_full_disk_stops_the_build_and_costs_nothing_that_was_built() {
    if !root() || !have("unshare") {
        return;
    }
    let jettison = Jettison::new();
    let small = folder("FROM scratch\nCOPY a /\n", &[("a", "small")]);
    let large = folder("FROM scratch\nCOPY a /\n", &[]);
    // Bytes that do not compress: 12 MB into a store of 8.
    let noise: Vec<u8> =
        (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(large.path().join("a"), noise).unwrap();
    let script = r#"
mount -t tmpfs -o size=8m none "$JETTISON_ROOT"
before=$("$JETTISON" build -q -t app "$1")
code=0; "$JETTISON" build -q -t app "$2" || code=$?
echo "code $code"
[ "$("$JETTISON" build -q -t app "$1")" = "$before" ] && echo same
"$JETTISON" save -o - app > /dev/null && echo whole
ls "$JETTISON_ROOT/tmp" | wc -l
"#;
    let places = [small.path().to_str().unwrap(), large.path().to_str().unwrap()];
    let ran = in_namespaces(&jettison, &["--mount", "--propagation", "private"], script, &places);
    assert_eq!(ran.stdout, "code 5\nsame\nwhole\n0\n", "{}", ran.stderr);
    assert!(ran.stderr.contains("No space left") && ran.stderr.contains("free some space"), "{}", ran.stderr);
}

/// Without room for its own directory overlayfs mounts read-only and says nothing. A command that passes over errors would
/// have left a step that did nothing, and that in the cache.
#[test]
fn a_disk_without_inodes_is_told_and_no_step_runs_on_what_cannot_be_written() {
    if !root() || !have("unshare") {
        return;
    }
    let jettison = Jettison::new();
    let folder = folder("FROM busybox\nARG n\nWORKDIR /w$n\nRUN touch /new; ls /new\n", &[]);
    let script = r#"
mount -t tmpfs -o size=64m,nr_inodes=1200 none "$JETTISON_ROOT"
"$JETTISON" load -q -i "$2" > /dev/null
"$JETTISON" build -q --build-arg n=0 "$1" > /dev/null
mkdir "$JETTISON_ROOT/fill"
for free in $(seq 1 60); do
    rm -rf "$JETTISON_ROOT/fill/"*
    (cd "$JETTISON_ROOT/fill" && seq $(($(stat -f -c %d .) - free)) | xargs touch)
    if said=$("$JETTISON" build --progress=plain --build-arg n=$free "$1" 2>&1); then echo "$free are enough"; exit; fi
    case $said in
        *"Read-only"*) echo "$free: $said" ;;
        *"work directory"*"free some space"*) ;;
        *"work directory"*) echo "$free, without a hint: $said" ;;
        *"No space left"*) ;;
        *) echo "$free: $said" ;;
    esac
done
"#;
    let archive = busybox_archive();
    let places = [folder.path().to_str().unwrap(), archive.to_str().unwrap()];
    let ran = in_namespaces(&jettison, &["--mount", "--propagation", "private"], script, &places);
    assert!(ran.stdout.ends_with("are enough\n") && ran.stdout.lines().count() == 1, "{}", ran.stdout);
}

#[test]
fn a_machine_without_namespaces() {
    if !have("unshare") || !have("setpriv") {
        return;
    }
    let jettison = Jettison::new();
    let folder = folder("FROM scratch\nCOPY Dockerfile /\n", &[]);
    // The limit is that of a user namespace made for this test; the machine's own stays as it is. Root without a
    // capability is what a container's root is.
    let script = r#"
echo 0 > /proc/sys/user/max_user_namespaces
exec setpriv --bounding-set=-all --inh-caps=-all "$JETTISON" build "$1"
"#;
    let place = folder.path().to_str().unwrap();
    let stderr = in_namespaces(&jettison, &["--user", "--map-root-user"], script, &[place]).fails(6);
    assert_eq!(
        stderr,
        "error: cannot isolate processes here: user namespaces are switched off\n\
         hint: sysctl -w user.max_user_namespaces=15000\n"
    );
}

#[test]
fn a_failed_build_keeps_the_earlier_image() {
    let jettison = Jettison::with_busybox();
    let good = folder("FROM busybox\nRUN echo 1 > /v\n", &[]);
    let before = jettison.build(good.path(), &["-t", "app"]);
    let bad = folder("FROM busybox\nRUN echo 2 > /v\nRUN false\n", &[]);
    jettison.try_build(bad.path(), &["-t", "app"]).fails(1);
    assert_eq!(jettison.inspect("app")["digest"], before.as_str());
    assert_eq!(jettison.run(&["run", "app", "cat", "/v"]).ok(), "1");
}

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    let jettison = Jettison::new();
    let folder = folder("# syntax=example/frontend:1\nFROM scratch\n", &[]);
    let stderr = jettison.try_build(folder.path(), &[]).fails(3);
    assert!(stderr.contains("example/frontend") && stderr.contains("not supported"), "{stderr}");
}

#[test]
fn usage_errors_exit_with_2() {
    let jettison = Jettison::new();
    let folder = folder("FROM scratch\n", &[]);
    for args in [
        &["--output", "type=wim"][..],
        &["--push"],
        &["-t", "UPPER"],
        &["--platform", "linux/amd64,x/y/z/w"],
        &["--add-host", "x"],
        &["--secret", "src=x"],
    ] {
        jettison.try_build(folder.path(), args).fails(2);
    }
    jettison.run(&["build", "/does/not/exist"]).fails(1);
}

/// `ulimit -f`: the kernel's signal ended the program without a word.
#[test]
fn a_limit_on_the_size_of_files_is_told() {
    let jettison = Jettison::with_busybox();
    let context = folder("FROM busybox\nCOPY big /\nRUN true\n", &[("big", &"x".repeat(3 << 20))]);
    let command = jettison.command();
    let mut limited = Command::new("sh");
    limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let script = "ulimit -f 4096; exec \"$0\" build --progress=plain \"$1\"";
    limited.args(["-c", script, env!("CARGO_BIN_EXE_jettison")]).arg(context.path());
    let error = Ran::from(limited.output().unwrap()).fails(5);
    assert!(error.contains("File too large") && error.contains("ulimit -f"), "{error}");
    jettison.run(&["fsck"]).ok();
    jettison.build(context.path(), &[]);
}
