//! The start-proof at the end of a build, and `jettison verify` of every kind of image.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::fixture::{Jettison, Ran, Registry, folder, have, program, skip};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

/// A server in C, for want of Go: linked to the C library, as `go build` does by default.
const SERVER: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "hello")) { puts("hello from the image"); return 0; }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(s, (struct sockaddr *)&at, sizeof at) || listen(s, 4)) { perror("listen"); return 1; }
    for (;;) close(accept(s, 0, 0));
}
"#;

/// A build folder with a dynamically linked program and what it needs; `None` where there is no C compiler.
fn dynamic(dockerfile: &str) -> Option<TempDir> {
    if !have("gcc") {
        return None;
    }
    if !Path::new(LOADER).exists() || !Path::new(LIBC).exists() {
        skip("no glibc of Debian for amd64");
        return None;
    }
    let folder = folder(dockerfile, &[("server.c", SERVER)]);
    let out = folder.path().join("server");
    let source = folder.path().join("server.c");
    program("gcc", &["-o", out.to_str().unwrap(), source.to_str().unwrap()]).ok();
    fs::copy(LOADER, folder.path().join("loader")).unwrap();
    fs::copy(LIBC, folder.path().join("libc")).unwrap();
    Some(folder)
}

/// The founding example as it is often written, with a compiler that links to the C library.
const FOUNDING: &str = "\
FROM busybox AS build
COPY loader /lib64/ld-linux-x86-64.so.2
COPY libc /lib/x86_64-linux-gnu/libc.so.6
COPY . /app
RUN cp /app/server /myserver

FROM scratch
COPY --from=build /myserver /myserver
EXPOSE 8080
CMD [\"myserver\"]
";

/// The text to paste below the line of a fix.
fn fix(stderr: &str, how: &str) -> String {
    let mut lines = stderr.lines().skip_while(|line| !line.contains(how)).skip(1);
    let pasted = lines.by_ref().take_while(|line| line.starts_with("      ")).map(str::trim);
    pasted.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_founding_example_taken_literally_and_after_the_printed_fixes() {
    let Some(folder) = dynamic(FOUNDING) else { return };
    let jettison = Jettison::with_busybox();
    let ran = jettison.try_build(folder.path(), &["-t", "app"]);
    assert_eq!(ran.code, 0, "it builds, as with any builder: {}", ran.stderr);
    let last = ran.stderr.find("THIS IMAGE CANNOT START").unwrap();
    assert!(ran.stderr[..last].contains("sha256:"), "the verdict comes last:\n{}", ran.stderr);
    for words in ["error: ", "Dockerfile:10: \"myserver\" is not on PATH", "[command-not-found]"] {
        assert!(ran.stderr.contains(words), "no {words:?} in:\n{}", ran.stderr);
    }
    for words in ["Dockerfile:8: /myserver is dynamically linked", LOADER, "[loader-missing]"] {
        assert!(ran.stderr.contains(words), "no {words:?} in:\n{}", ran.stderr);
    }
    let command = fix(&ran.stderr, "name the file by its path");
    let copies = fix(&ran.stderr, "bring what it needs from build");
    assert_eq!(copies.lines().count(), 2, "{copies}");
    let fixed =
        FOUNDING.replace("CMD [\"myserver\"]", &command).replace("EXPOSE", &format!("{copies}\nEXPOSE"));
    fs::write(folder.path().join("Dockerfile"), fixed).unwrap();
    let ran = jettison.try_build(folder.path(), &["-t", "app", "--verify=error"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("starts: /myserver (dynamic, glibc, 1 library)"), "{}", ran.stderr);
    assert_eq!(jettison.run(&["run", "app", "/myserver", "hello"]).ok(), "hello from the image");
}

const BROKEN: &str = "FROM scratch\nCOPY hello /hello\nCMD [\"hello\"]\n";

#[test]
fn an_error_comes_before_anything_is_named_or_written() {
    let jettison = Jettison::new();
    let folder = folder(BROKEN, &[("hello", "hi\n")]);
    let out = folder.path().join("out.tar");
    let iid = folder.path().join("iid");
    let output = format!("type=oci,dest={}", out.display());
    let args = ["-t", "app", "-o", &output, "--iidfile", iid.to_str().unwrap(), "--verify=error"];
    let ran = jettison.try_build(folder.path(), &args);
    assert!(ran.stdout.is_empty());
    let stderr = ran.fails(7);
    assert!(stderr.contains("THIS IMAGE CANNOT START") && stderr.contains("cannot start; nothing was named"));
    assert!(!out.exists() && !iid.exists());
    assert!(jettison.run(&["inspect", "app"]).code != 0);
    // The default is for everybody's habits, the environment for one's own.
    let strict = Jettison::new().env("JETTISON_VERIFY", "error");
    strict.try_build(folder.path(), &[]).fails(7);
    strict.build(folder.path(), &["--verify=warn"]);
    assert!(!strict.try_build(folder.path(), &["--verify=off"]).stderr.contains("START"));
}

#[test]
fn the_default_can_stand_in_a_file() {
    let config = tempfile::tempdir().unwrap();
    let write = |text: &str| {
        fs::create_dir_all(config.path().join("jettison")).unwrap();
        fs::write(config.path().join("jettison/config.toml"), text).unwrap();
    };
    let folder = folder(BROKEN, &[("hello", "hi\n")]);
    let jettison = Jettison::new().env("XDG_CONFIG_HOME", config.path().to_str().unwrap());
    write("verify = \"error\"\n");
    jettison.try_build(folder.path(), &[]).fails(7);
    jettison.build(folder.path(), &["--verify=warn"]);
    write("verify = \"off\"\n");
    assert!(!jettison.try_build(folder.path(), &[]).stderr.contains("START"));
    write("verfy = \"off\"\n");
    let stderr = jettison.try_build(folder.path(), &[]).fails(2);
    assert!(stderr.contains("jettison/config.toml: unknown key \"verfy\""), "{stderr}");
    // Variables count more, and another file can be named.
    let other = config.path().join("other.toml");
    fs::write(&other, "verify = \"error\"\n").unwrap();
    let jettison = jettison.env("JETTISON_CONFIG", other.to_str().unwrap());
    jettison.try_build(folder.path(), &[]).fails(7);
    let jettison = jettison.env("JETTISON_VERIFY", "off");
    jettison.build(folder.path(), &[]);
}

/// The example, with a stage in between that only hands the program on.
const CHAIN: &str = "\
FROM busybox AS build
COPY loader /lib64/ld-linux-x86-64.so.2
COPY libc /lib/x86_64-linux-gnu/libc.so.6
COPY . /app
RUN mkdir /out && cp /app/server /out/myserver

FROM scratch AS pack
COPY --from=build /out /packed/bin

FROM scratch
COPY --from=pack /packed/ /opt
CMD [\"/opt/bin/myserver\"]
";

#[test]
fn through_stages_that_only_hand_it_on_the_maker_of_a_file_is_found() {
    let Some(folder) = dynamic(CHAIN) else { return };
    let jettison = Jettison::with_busybox();
    let stderr = jettison.try_build(folder.path(), &[]).stderr;
    assert!(stderr.contains("Dockerfile:11: /opt/bin/myserver is dynamically linked"), "{stderr}");
    let copies = fix(&stderr, "bring what it needs from build");
    assert!(copies.contains(&format!("COPY --from=build {LOADER} {LOADER}")), "{stderr}");
}

#[test]
fn an_image_for_another_machine_is_not_started_and_says_why() {
    let jettison = Jettison::new();
    let folder = folder("FROM scratch\nCOPY hello /hello\nCMD [\"/hello\"]\n", &[("hello", "#!/hello\n")]);
    let ran = jettison.try_build(folder.path(), &["--platform=linux/mips64le", "-t", "app", "--verify=run"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = jettison.run(&["verify", "--run", "--format=json", "--platform=linux/mips64le", "app"]);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
    let message = value["run"]["message"].as_str().unwrap();
    // A machine that has an emulator for it starts it.
    let is_told = message.starts_with("not started: it is for linux/mips64le, this machine is linux/");
    assert!(is_told || value["run"]["rule"] == "run-not-started", "{message}");
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn with_quiet_progress_only_what_is_grave_is_said() {
    let jettison = Jettison::with_busybox();
    let good = folder("FROM busybox\nCMD [\"sh\"]\n", &[]);
    assert_eq!(jettison.try_build(good.path(), &["--progress=quiet"]).stderr, "");
    let bad = folder(BROKEN, &[("hello", "hi\n")]);
    let stderr = jettison.try_build(bad.path(), &["--progress=quiet"]).stderr;
    assert!(stderr.contains("THIS IMAGE CANNOT START"), "{stderr}");
    let json = jettison.run(&["build", "--progress=rawjson", bad.path().to_str().unwrap()]).stderr;
    assert!(json.lines().next().unwrap().starts_with('{') && json.contains("\"warnings\""), "{json}");
}

fn verdict(ran: &Ran) -> String {
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
    value["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn verify_takes_every_kind_of_image() {
    let jettison = Jettison::with_busybox();
    let good = folder("FROM busybox\nCOPY Dockerfile /x\nCMD [\"sh\", \"-c\", \"echo hi\"]\n", &[]);
    let bad = folder("FROM busybox\nRUN rm /bin/sh /bin/busybox\nCMD [\"/bin/sh\"]\n", &[]);
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name).display().to_string();
    for (name, folder, code, want) in [("good", &good, 0, "starts"), ("bad", &bad, 7, "cannot-start")] {
        let outputs = [
            format!("type=docker,dest={}", path(&format!("{name}.tar"))),
            format!("type=oci,dest={},tar=false", path(name)),
            format!("type=oci,dest={}", path(&format!("{name}.oci"))),
        ];
        let mut args = vec!["-t", name];
        args.extend(outputs.iter().flat_map(|output| ["-o", output]));
        jettison.build(folder.path(), &args);
        let fresh = Jettison::new();
        for image in [
            path(&format!("{name}.tar")),
            path(name),
            format!("oci-archive:{}", path(&format!("{name}.oci"))),
        ] {
            let ran = fresh.run(&["verify", "--format=json", &image]);
            assert_eq!((ran.code, verdict(&ran).as_str()), (code, want), "{image}: {}", ran.stderr);
        }
        assert!(
            fresh.run(&["images", "-q"]).ok().is_empty(),
            "looking at a file puts nothing into the store"
        );
        let ran = jettison.run(&["verify", "--format=json", name]);
        assert_eq!((ran.code, verdict(&ran).as_str()), (code, want));
        let Some(registry) = Registry::start("") else { continue };
        jettison.run(&["push", "-q", name, &registry.name("x/app:1")]).ok();
        let ran = fresh.run(&["verify", "--format=json", &registry.name("x/app:1")]);
        assert_eq!((ran.code, verdict(&ran).as_str()), (code, want), "{}", ran.stderr);
    }
    let text = jettison.run(&["verify", "bad"]).stdout;
    assert!(text.contains("/bin/sh is not in the image") && text.contains("[command-not-found]"), "{text}");
}

#[test]
fn a_base_that_nobody_unpacked_is_proved_from_its_layers() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nCMD [\"shh\"]\n", &[]);
    let stderr = jettison.try_build(folder.path(), &[]).stderr;
    assert!(stderr.contains("Dockerfile:2: \"shh\" is not on PATH"), "{stderr}");
}

#[test]
fn a_text_file_in_a_layer_that_nobody_unpacked_is_no_program() {
    let jettison = Jettison::new();
    let folder = folder("FROM scratch\nCOPY hello /hello\nCMD [\"/hello\"]\n", &[("hello", "hi\n")]);
    let archive = folder.path().join("x.tar").display().to_string();
    jettison.build(folder.path(), &["-o", &format!("type=oci,dest={archive}")]);
    let ran = jettison.run(&["verify", &archive]);
    assert!(ran.stdout.contains("[not-a-program]"), "{}{}", ran.stdout, ran.stderr);
    ran.fails(7);
}

#[test]
fn damaged_archives_are_errors() {
    let jettison = Jettison::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    fs::write(&path, [b'x'; 2000]).unwrap();
    jettison.run(&["verify", path.to_str().unwrap()]).fails(4);
    jettison.run(&["verify", "nothing-here:latest", "--platform", "bogus"]).fails(2);
}

#[test]
fn run_says_what_happened() {
    let jettison = Jettison::with_busybox();
    let run = |dockerfile: &str| {
        let folder = folder(dockerfile, &[]);
        jettison.build(folder.path(), &["-t", "trial"]);
        let ran = jettison.run(&["verify", "--run", "--format=json", "trial"]);
        let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        (ran.code, value["run"]["rule"].as_str().unwrap().to_owned(), value["run"]["message"].to_string())
    };
    let (code, rule, message) =
        run("FROM busybox\nEXPOSE 80\nCMD [\"nc\", \"-ll\", \"-p\", \"80\", \"-e\", \"true\"]\n");
    assert_eq!((code, rule.as_str()), (0, "run-answers"), "{message}");
    let (code, rule, message) = run("FROM busybox\nCMD [\"sh\", \"-c\", \"echo oh no >&2; exit 3\"]\n");
    assert_eq!((code, rule.as_str()), (0, "run-ended"), "{message}");
    assert!(message.contains("exit code 3") && message.contains("oh no"), "{message}");
    let (code, rule, message) = run("FROM busybox\nCMD [\"sh\", \"-c\", \"absent\"]\n");
    assert_eq!((code, rule.as_str()), (7, "run-ended"), "{message}");
    let (code, rule, message) = run("FROM busybox\nCMD [\"sleep\", \"100\"]\n");
    assert_eq!((code, rule.as_str()), (0, "run-lives"), "{message}");
}

#[test]
fn verify_run_of_a_build_starts_the_image_before_it_is_named() {
    let Some(folder) = dynamic(&FOUNDING.replace("[\"myserver\"]", "[\"/myserver\"]")) else { return };
    let jettison = Jettison::with_busybox();
    let ran = jettison.try_build(folder.path(), &["-t", "app", "--verify=run,error"]);
    let stderr = ran.fails(7);
    assert!(stderr.contains("[run-not-started]") && stderr.contains("[loader-missing]"), "{stderr}");
    let fixed = FOUNDING
        .replace("[\"myserver\"]", "[\"/myserver\"]")
        .replace("EXPOSE", "COPY --from=build /lib64 /lib64\nCOPY --from=build /lib /lib\nEXPOSE");
    fs::write(folder.path().join("Dockerfile"), fixed).unwrap();
    let ran = jettison.try_build(folder.path(), &["-t", "app", "--verify=run,error"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("starts: /myserver"), "{}", ran.stderr);
}

#[test]
fn permissions_and_users_of_the_context_are_seen() {
    let jettison = Jettison::new();
    let folder =
        folder("FROM scratch\nCOPY run /run\nUSER app\nENTRYPOINT [\"/run\"]\n", &[("run", "#!/bin/sh\r\n")]);
    fs::set_permissions(folder.path().join("run"), fs::Permissions::from_mode(0o644)).unwrap();
    let stderr = jettison.try_build(folder.path(), &[]).stderr;
    for words in [
        "Dockerfile:2: /run cannot be executed",
        "Dockerfile:3: USER app",
        "[script-carriage-return]",
        "[script-interpreter-missing]",
    ] {
        assert!(stderr.contains(words), "no {words:?} in:\n{stderr}");
    }
}

/// The place of the instruction at fault, why, and text to paste: for whatever a finding is about.
#[test]
fn each_finding_has_its_line_and_a_way_out() {
    let dockerfile = "FROM scratch\n\
        COPY loader /lib64/ld-linux-x86-64.so.2\n\
        COPY libc /lib/x86_64-linux-gnu/libc.so.6\n\
        COPY --chmod=644 server /server\n\
        ENV A=b \\\n    LD_PRELOAD=libnone.so\n\
        USER app\n\
        HEALTHCHECK CMD [\"curl\", \"localhost\"]\n\
        CMD [\"server\"]\n";
    let Some(folder) = dynamic(dockerfile) else { return };
    let stderr = Jettison::new().try_build(folder.path(), &[]).stderr;
    let said = stderr.split("THIS IMAGE CANNOT START").nth(1).expect(&stderr);
    for words in [
        "/Dockerfile:4: /server cannot be executed",
        "/Dockerfile:5: libnone.so is to be preloaded",
        "/Dockerfile:7: USER app: /etc/passwd",
        "/Dockerfile:8: HEALTHCHECK: \"curl\" is not on PATH",
        "/Dockerfile:9: \"server\" is not on PATH",
    ] {
        assert!(said.contains(words), "no {words:?} in:\n{said}");
    }
    let lines: Vec<&str> = said.lines().collect();
    let is_finding = |line: &str| line.starts_with("error: ") || line.starts_with("warning: ");
    for pair in lines.windows(2).filter(|pair| is_finding(pair[0])) {
        assert!(pair[1].starts_with("  "), "no way out of {}", pair[0]);
    }
}

/// What is printed as a way out is pasted as it stands: instead of the line at fault, or before CMD.
#[test]
fn ways_out_work_as_they_are_printed() {
    let jettison = Jettison::with_busybox();
    let script = "#!/bin/sh\necho hi\n";
    let files = [("run.sh", script), ("windows.sh", "#!/bin/sh\r\necho hi\n"), ("server", script)];
    for (dockerfile, how, at_fault) in [
        ("FROM busybox\nCOPY --chmod=644 server /server\n", "it, where it is copied", Some(2)),
        (
            "FROM busybox\nCOPY --chmod=700 server /server\nUSER 1000:1000\n",
            "it, where it is copied",
            Some(2),
        ),
        ("FROM busybox\nCOPY --chmod=700 server /server\nUSER 1000:1000\n", "or change it afterwards", None),
        ("FROM busybox\nRUN echo '#!/bin/sh' > /server\n", "let everybody execute it", None),
        (
            "FROM busybox\nRUN mkdir -m 700 /d\nCOPY --chmod=755 server /d/server\nUSER 7\n",
            "let others enter it",
            None,
        ),
        (
            "FROM busybox\nCOPY --chmod=755 windows.sh /server\nUSER 7\n",
            "take the Windows line ends out",
            None,
        ),
        ("FROM busybox\nCOPY --chmod=711 server /server\nUSER 7\n", "let the user read it", Some(2)),
        ("FROM busybox\nCOPY --chmod=755 server /server\nUSER nobody-here\n", "use the number", Some(3)),
    ] {
        let directory = if dockerfile.contains("/d/") { "/d" } else { "" };
        let command = format!("CMD [\"{directory}/server\"]\n");
        let folder = folder(&format!("{dockerfile}{command}"), &files);
        let broken = jettison.try_build(folder.path(), &["-t", "app", "--verify=error"]).fails(7);
        let text = fix(&broken, how);
        assert!(!text.is_empty(), "no {how:?} in {broken}");
        let mut lines: Vec<&str> = dockerfile.lines().collect();
        match at_fault {
            Some(line) => lines[line - 1] = &text,
            None => lines.push(&text),
        }
        let fixed = format!("{}\n{command}", lines.join("\n"));
        fs::write(folder.path().join("Dockerfile"), &fixed).unwrap();
        let ran = jettison.try_build(folder.path(), &["-t", "app", "--verify=error,run"]);
        assert_eq!(ran.code, 0, "{fixed}\n{}", ran.stderr);
        assert!(ran.stderr.contains("ended with exit code 0"), "{fixed}\n{}", ran.stderr);
    }
}

#[test]
fn an_image_that_was_built_here_is_looked_at_where_its_files_lie() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nRUN rm /bin/sh\nCMD [\"/bin/sh\"]\n", &[]);
    jettison.build(folder.path(), &["-t", "app"]);
    jettison.run(&["verify", "app"]).fails(7);
    // Without its snapshots the layers say the same.
    jettison.run(&["prune", "--all"]).ok();
    jettison.run(&["verify", "app"]).fails(7);
}

#[test]
fn size_says_what_is_hidden_and_what_is_there_twice() {
    let jettison = Jettison::with_busybox();
    let folder = folder(
        "FROM busybox\nRUN head -c 50000 /dev/zero > /big\nRUN rm /big; head -c 9000 /dev/zero > /a; cp /a /b\n",
        &[],
    );
    jettison.build(folder.path(), &["-t", "app", "-q"]);
    let text = jettison.run(&["size", "app"]).ok();
    for words in ["to pull (", "HIDDEN LATER", "50kB", "RUN rm /big", "/a /b", "/bin/busybox"] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    let json = jettison.run(&["size", "--format=json", "app"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["layers"][1]["hiddenBytes"], 50_000);
    assert_eq!(json["duplicates"][0]["wastedBytes"], 9000);
}

#[test]
fn size_and_the_end_of_a_build_say_what_stayed_behind() {
    let jettison = Jettison::with_busybox();
    let folder = folder(
        "FROM busybox AS build\nRUN mkdir -p /opt/big; head -c 9000000 /dev/zero > /opt/big/a; echo hi > /out\n\
         FROM busybox AS assets\nRUN head -c 90000 /dev/zero > /logo\n\
         FROM scratch\nCOPY --from=build /out /out\nCOPY --from=assets /logo /logo\nCMD [\"/out\"]\n",
        &[],
    );
    let built = jettison.try_build(folder.path(), &["-t", "app"]);
    let last_lines = &built.stderr[built.stderr.find("to pull").expect(&built.stderr)..];
    for words in [
        "\n  from         COPY /logo /logo 9",
        ", COPY /out /out ",
        "\n  added in     /logo 90kB, /out 3B\n",
        "\n  left behind  build ",
        ", assets ",
        "\n  `jettison size` says more\n",
    ] {
        assert!(last_lines.contains(words), "no {words:?} in {last_lines}");
    }
    let folders = |text: &str| -> serde_json::Value {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(json["leftBehind"][0]["stage"], "build");
        assert!(json["leftBehind"][0]["bytes"].as_u64().unwrap() > 9_000_000);
        json["leftBehind"][0]["folders"].clone()
    };
    let json = jettison.run(&["size", "--format=json", "app"]).ok();
    let big = serde_json::json!({"path": "/opt/big", "bytes": 9_000_000});
    assert!(folders(&json).as_array().unwrap().contains(&big), "{json}");
    // A rebuild that never looks at the stages does not forget them.
    jettison.build(folder.path(), &["-t", "app"]);
    let text = jettison.run(&["size", "app"]).ok();
    assert!(text.contains("STAGE LEFT BEHIND") && text.contains("/opt/big 9MB"), "{text}");
}

/// The last lines of a build after the first of them.
fn closing_lines(stderr: &str) -> String {
    let lines =
        stderr.lines().skip_while(|line| !line.contains("to pull") && !line.contains(" packed)")).skip(1);
    let is_one = |line: &&str| line.starts_with("  ") || line.starts_with("linux/");
    lines.take_while(is_one).collect::<Vec<_>>().join("\n")
}

/// What a later step hides, what is there twice, what came with packages: said when it matters, again by a build that
/// does nothing, and never by one that is to be quiet.
#[test]
fn the_end_of_a_build_says_what_is_wasted() {
    let jettison = Jettison::with_busybox();
    let folder = folder(
        "FROM busybox\n\
         RUN mkdir -p /cache /opt/a /opt/b && head -c 900000 /dev/urandom > /cache/lists && head -c 700000 /dev/urandom > /opt/a/lib \\\n\
         && cp /opt/a/lib /opt/b/lib\n\
         RUN rm -rf /cache/*\n\
         COPY status /var/lib/dpkg/status\n\
         CMD [\"sh\"]\n",
        &[("status", "Package: curl\nStatus: install ok installed\nVersion: 1\nInstalled-Size: 500\n")],
    );
    let built = jettison.try_build(folder.path(), &["-t", "app"]);
    let said = closing_lines(&built.stderr);
    // busybox differs from machine to machine, and so does what was allocated for directories.
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("  from ")).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
      added in     /opt/a 700kB, /opt/b 700kB, /var/lib 74B
      packages     curl 512kB
      hidden       900kB of RUN mkdir -p /cache /opt/a /opt/b && he…, overwritten or deleted by RUN rm -rf /cache/*
      twice        700kB /opt/a/lib and /opt/b/lib
      `jettison size` says more
    ");
    let plain = jettison.try_build(folder.path(), &["--progress=plain", "-t", "app"]);
    assert_eq!(closing_lines(&plain.stderr), said, "a build without work, and --progress=plain");
    let quiet = jettison.try_build(folder.path(), &["-q", "-t", "app"]);
    assert_eq!(quiet.stderr, "");
}

/// The same is said of what goes straight into a layer, of several platforms, of an image with something attached, and of
/// steps that are one layer.
#[test]
fn the_end_of_every_kind_of_build_says_where_the_bytes_are() {
    let jettison = Jettison::new();
    let big = "0123456789abcdef".repeat(20_000);
    let folder = folder(
        "FROM scratch AS base\nCOPY --link . /srv\nFROM base\nCOPY small /srv/old\nCOPY --from=base /srv/a /srv/b /opt/x/\n",
        &[
            ("a", &big),
            ("b", &big),
            ("old", &big[1..]),
            ("small", "hi"),
            (".dockerignore", "Dockerfile\n.dockerignore\n"),
        ],
    );
    let build = |args: &[&str]| {
        let ran = jettison.try_build(folder.path(), &[&["-t", "app"], args].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        closing_lines(&ran.stderr)
    };
    // The first to make the last layer is not to say anything; the next one knows all the same.
    jettison.build(folder.path(), &["-q"]);
    let straight = build(&[]);
    insta::assert_snapshot!("straight_into_a_layer", straight);
    let with_files = build(&["--no-cache", "--output=type=image", "--output=type=tar,dest=/dev/null"]);
    assert_eq!(with_files, straight);
    assert_eq!(build(&["--provenance=true"]), straight);
    let digests = without_digests(&build(&["--platform", "linux/amd64,linux/arm64"]));
    insta::assert_snapshot!("two_platforms", digests);
    insta::assert_snapshot!("squashed", build(&["--squash"]));
}

/// A text whose lines end before a digest.
fn without_digests(text: &str) -> String {
    let line = |line: &str| line.split_once(", sha256:").map_or(line, |(before, _)| before).to_owned();
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
