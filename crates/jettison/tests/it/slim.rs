//! `jettison slim`: from one stage to two, with programs of a real C compiler.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::fixture::{Jettison, folder, have, program, skip};

/// Answers on port 8080; reads a greeting from a file, through a library of its own.
const SERVER: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
const char *greeting(void);
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "hello")) {
        char line[80];
        FILE *file = fopen("texts/greeting.txt", "r");
        if (!file) { perror("texts/greeting.txt"); return 1; }
        if (fgets(line, sizeof line, file)) printf("%s %s", greeting(), line);
        return 0;
    }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(s, (struct sockaddr *)&at, sizeof at) || listen(s, 4)) { perror("listen"); return 1; }
    for (;;) close(accept(s, 0, 0));
}
"#;

const LIBRARY: &str = "const char *greeting(void) { return \"hello,\"; }\n";

const DOCKERFILE: &str = "\
FROM busybox
COPY base /
COPY . /app
WORKDIR /app
RUN mkdir -p /usr/local/bin /usr/local/lib && cp server /usr/local/bin/ && cp libgreeting.so.1 /usr/local/lib/
EXPOSE 8080
CMD [\"server\"]
";

/// A build folder whose image has a C library; `None` where there is no C compiler.
fn app(dockerfile: &str, flags: &[&str]) -> Option<TempDir> {
    if !have("gcc") {
        return None;
    }
    let base = [
        ("/lib64/ld-linux-x86-64.so.2", "base/lib64"),
        ("/lib/x86_64-linux-gnu/libc.so.6", "base/lib/x86_64-linux-gnu"),
    ];
    if !base.iter().all(|(file, _)| Path::new(file).exists()) {
        skip("no glibc of Debian for amd64");
        return None;
    }
    let files =
        [("server.c", SERVER), ("greeting.c", LIBRARY), ("texts/greeting.txt", "you\n"), ("notes.txt", "x")];
    let folder = folder(dockerfile, &files);
    for (file, to) in base {
        let to = folder.path().join(to);
        fs::create_dir_all(&to).unwrap();
        fs::copy(file, to.join(Path::new(file).file_name().unwrap())).unwrap();
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let library = path("libgreeting.so.1");
    program(
        "gcc",
        &["-shared", "-fPIC", "-Wl,-soname,libgreeting.so.1", "-o", &library, &path("greeting.c")],
    )
    .ok();
    let out = path("server");
    let mut args = vec!["-o", &out];
    let (server, greeting) = (path("server.c"), path("greeting.c"));
    if flags.contains(&"-static") {
        args.extend([&server[..], &greeting]);
    } else {
        args.extend([&server[..], &library, "-Wl,-rpath,/usr/local/lib"]);
    }
    args.extend(flags);
    program("gcc", &args).ok();
    Some(folder)
}

fn slim(jettison: &Jettison, folder: &TempDir, args: &[&str]) -> crate::fixture::Ran {
    let mut all = vec!["slim", "--progress=plain"];
    all.extend(args);
    all.push(folder.path().to_str().unwrap());
    jettison.run(&all)
}

#[test]
fn one_stage_becomes_two_with_the_closure_of_libraries() {
    let Some(folder) = app(DOCKERFILE, &[]) else { return };
    let jettison = Jettison::with_busybox();
    let ran = slim(&jettison, &folder, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    insta::assert_snapshot!(ran.stdout);
    for words in ["as it is", "smaller", "/app/notes.txt", "starts: /usr/local/bin/server"] {
        assert!(ran.stderr.contains(words), "no {words:?} in:\n{}", ran.stderr);
    }
    let dockerfile = folder.path().join("Dockerfile");
    assert_eq!(fs::read_to_string(&dockerfile).unwrap(), DOCKERFILE, "nothing is overwritten without -w");
    let written = slim(&jettison, &folder, &["-w"]);
    assert_eq!((written.code, written.stdout.as_str()), (0, ""), "{}", written.stderr);
    assert_eq!(fs::read_to_string(&dockerfile).unwrap(), ran.stdout);
    jettison.build(folder.path(), &["-t", "app", "-q"]);
    assert_eq!(jettison.run(&["run", "app", "/usr/local/bin/server", "hello"]).ok(), "hello, you");
    // What is slim already is left alone.
    let again = slim(&jettison, &folder, &["-w"]).fails(1);
    assert!(again.contains("Dockerfile:") && again.contains("on scratch already"), "{again}");
}

#[test]
fn a_static_program_needs_nothing_else() {
    let Some(folder) = app(DOCKERFILE, &["-static"]) else { return };
    let ran = slim(&Jettison::with_busybox(), &folder, &["--keep", "/app/notes.txt"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let copies: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("COPY --from")).collect();
    let of = |path: &str| format!("COPY --from=build {path} {path}");
    assert_eq!(copies, [of("/usr/local/bin/server"), of("/app/notes.txt"), of("/app/texts")]);
}

#[test]
fn an_image_that_would_do_otherwise_is_refused() {
    // Which file it reads, the program is told when it starts; nothing mentions it.
    let source = "#include <stdio.h>\n#include <string.h>\nint main(void) {\n  char name[] = \"/bqq/ebub/cjo\";\n  \
                  for (char *c = name; *c; c++) if (*c != '/') --*c;\n  FILE *f = fopen(name, \"r\");\n  \
                  if (!f) { perror(\"data\"); return 1; }\n  return 0;\n}\n";
    if !have("gcc") {
        return;
    }
    let folder = folder(
        "FROM busybox\nCOPY . /app\nRUN mv /app/x /x\nCMD [\"/x\"]\n",
        &[("x.c", source), ("data/bin", "1")],
    );
    let path = |name: &str| folder.path().join(name).display().to_string();
    program("gcc", &["-static", "-o", &path("x"), &path("x.c")]).ok();
    let jettison = Jettison::with_busybox();
    let ran = slim(&jettison, &folder, &["-w"]);
    assert!(ran.stdout.is_empty());
    let stderr = ran.fails(1);
    assert!(
        stderr.contains("no slim image: started, the image as it is") && stderr.contains("--keep"),
        "{stderr}"
    );
    assert!(fs::read_to_string(folder.path().join("Dockerfile")).unwrap().starts_with("FROM busybox\n"));
    let kept = slim(&jettison, &folder, &["--keep=/app/data"]);
    assert_eq!(kept.code, 0, "{}", kept.stderr);
}

#[test]
fn what_is_interpreted_is_refused_with_a_way_out() {
    let folder = folder("FROM busybox\nCOPY app.py /\nCMD [\"python3\", \"/app.py\"]\n", &[("app.py", "")]);
    let stderr = slim(&Jettison::with_busybox(), &folder, &[]).fails(1);
    assert!(
        stderr.contains("python3 runs what is written elsewhere") && stderr.contains("python:X-slim"),
        "{stderr}"
    );
}
