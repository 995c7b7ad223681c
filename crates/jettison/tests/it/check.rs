//! `check`, `build --check`, `build --call`, the checks at the end of a build, completions and man pages.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::fixture::{Jettison, Ran, folder};

/// Runs in `folder`, so that names in the output are those of the folder.
fn run_in(jettison: &Jettison, folder: &Path, args: &[&str]) -> Ran {
    jettison.command().current_dir(folder).args(args).output().unwrap().into()
}

const FINDINGS: &str = "FROM scratch as Base\nCOPY Dockerfile $nowhere/\n";

#[test]
fn what_is_wrong_for_one_of_several_platforms_is_found() {
    let (jettison, folder) =
        (Jettison::new(), folder("FROM scratch\nARG TARGETARCH\nEXPOSE ${TARGETARCH#amd64}\n", &[]));
    let check = |platform: &str| run_in(&jettison, folder.path(), &["check", "--platform", platform]);
    check("linux/amd64").ok();
    let alone = check("linux/arm64").fails(3);
    assert_eq!(check("linux/amd64,linux/arm64").fails(3), alone);
    assert_eq!(check("linux/arm64,linux/amd64").fails(3), alone);
}

#[test]
fn findings_end_with_1() {
    let (jettison, folder) = (Jettison::new(), folder(FINDINGS, &[]));
    let ran = run_in(&jettison, folder.path(), &["check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    insta::assert_snapshot!(ran.stdout, @r#"
    warning[FromAsCasing]: Dockerfile:1:14: 'as' and 'FROM' keywords' casing do not match
      |
    1 | FROM scratch as Base
      |              ^^
      |
      = note: The 'as' keyword should match the case of the 'from' keyword
      = help: https://docs.docker.com/go/dockerfile/rule/from-as-casing/

    warning[StageNameCasing]: Dockerfile:1:17: Stage name 'Base' should be lowercase
      |
    1 | FROM scratch as Base
      |                 ^^^^
      |
      = note: Stage names should be lowercase
      = help: https://docs.docker.com/go/dockerfile/rule/stage-name-casing/

    warning[UndefinedVar]: Dockerfile:2:17: Usage of undefined variable '$nowhere'
      |
    2 | COPY Dockerfile $nowhere/
      |                 ^^^^^^^^^
      |
      = note: Variables should be defined before their use
      = help: https://docs.docker.com/go/dockerfile/rule/undefined-var/

    Check complete, 3 warnings have been found!
    "#);
    for args in
        [&["build", "--check", "."][..], &["build", "--call=check", "."], &["build", "--call", "lint", "."]]
    {
        let same = run_in(&jettison, folder.path(), args);
        assert_eq!((same.code, same.stdout), (1, ran.stdout.clone()), "{args:?}");
    }
    let ran = run_in(&jettison, folder.path(), &["build", "--call=check,ignorestatus=true", "."]);
    assert_eq!(ran.code, 0);
    // A base that is nothing needs no store.
    assert_eq!(fs::read_dir(jettison.store.path()).unwrap().count(), 0);
}

#[test]
fn nothing_to_find() {
    let (jettison, folder) = (Jettison::new(), folder("FROM scratch\nCOPY Dockerfile /\n", &[]));
    let ran = run_in(&jettison, folder.path(), &["check"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (0, "Check complete, no warnings found.\n", "")
    );
}

#[test]
fn errors_come_with_the_findings() {
    let text = "FROM scratch AS BadStageName\nMAINTAINER me@example.org\nCOPPY a b\nENV X\n";
    let (jettison, folder) = (Jettison::new(), folder(text, &[]));
    let ran = run_in(&jettison, folder.path(), &["check"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("StageNameCasing") && ran.stdout.contains("MaintainerDeprecated"));
    assert!(!ran.stdout.contains("Check complete"), "{}", ran.stdout);
    assert!(ran.stderr.contains("error: Dockerfile:3:1: unknown instruction: COPPY"), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: Dockerfile:4:1: ENV must have two arguments"), "{}", ran.stderr);
    let ran = run_in(&jettison, folder.path(), &["check", "--format=json"]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        document["buildError"]["message"],
        "dockerfile parse error on line 3: unknown instruction: COPPY (did you mean COPY?)"
    );
    assert_eq!(document["warnings"].as_array().unwrap().len(), 2);
}

#[test]
fn errors_of_any_stage_are_found_without_a_target() {
    let text = "FROM scratch AS a\nCOPY --from=b x /\nFROM scratch AS b\nEXPOSE x\nFROM scratch\n";
    let (jettison, folder) = (Jettison::new(), folder(text, &[]));
    let ran = run_in(&jettison, folder.path(), &["check"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("Dockerfile:2:13: cannot copy from stage"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Dockerfile:4:8: invalid containerPort: x"), "{}", ran.stderr);
}

#[test]
fn a_target_limits_what_is_looked_at() {
    let text = "FROM scratch AS a\nUSER $x\nFROM scratch AS b\nUSER $y\n";
    let (jettison, folder) = (Jettison::new(), folder(text, &[]));
    let ran = run_in(&jettison, folder.path(), &["check", "--target=a"]);
    assert!(ran.stdout.contains("'$x'") && !ran.stdout.contains("'$y'"), "{}", ran.stdout);
    let ran = run_in(&jettison, folder.path(), &["check", "--target=c"]);
    assert!(ran.code == 3 && ran.stderr.contains("target stage \"c\" could not be found"), "{}", ran.stderr);
}

#[test]
fn flags_of_build_count() {
    let files = [
        ("app/a.Dockerfile", "ARG V\nFROM a:$V AS a\nCOPY ignored x /\n"),
        ("app/a.Dockerfile.dockerignore", "ignored\n"),
    ];
    let (jettison, folder) = (Jettison::new(), folder("FROM scratch\n", &files));
    let args = [
        "check",
        "-f",
        "app/a.Dockerfile",
        "--build-arg",
        "V=1",
        "--build-context",
        "a=app",
        "-t",
        "x:y",
        "app",
    ];
    let ran = run_in(&jettison, folder.path(), &args);
    assert_eq!(ran.stderr, "");
    assert!(ran.stdout.contains("[InvalidDefaultArgInFrom]: app/a.Dockerfile:2:6:"), "{}", ran.stdout);
    assert!(
        ran.stdout.ends_with("1 warning has been found!\n"),
        "a replaced stage is not run: {}",
        ran.stdout
    );
    let ran = run_in(
        &jettison,
        folder.path(),
        &["check", "--offline", "--build-arg=V=1", "-f", "app/a.Dockerfile", "app"],
    );
    assert!(ran.stdout.contains("[CopyIgnoredFile]: app/a.Dockerfile:3:6:"), "{}", ran.stdout);
    assert!(ran.stderr.contains("note: app/a.Dockerfile:2:6: no image a:1 in the store"), "{}", ran.stderr);
    let ran = run_in(
        &jettison,
        folder.path(),
        &["check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", "."],
    );
    assert_eq!(ran.code, 0);
}

#[test]
fn what_the_base_image_sets_is_known_from_the_store() {
    let jettison = Jettison::with_busybox();
    let text = "FROM scratch\nENV BASE_DIR=/x\n";
    let base = folder(text, &[]);
    jettison.build(base.path(), &["-t", "base"]);
    let folder = folder("FROM base\nWORKDIR $BASE_DIR\nUSER $BASE_DRI\n", &[]);
    let ran = run_in(&jettison, folder.path(), &["check", "--offline"]);
    assert_eq!(ran.stderr, "");
    assert!(ran.stdout.contains("'$BASE_DRI' (did you mean $BASE_DIR?)"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("1 warning has been found!\n"), "{}", ran.stdout);
}

#[test]
fn a_dockerfile_on_standard_input() {
    let jettison = Jettison::new();
    let mut command = jettison.command();
    command.args(["check", "--format=sarif", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(FINDINGS.as_bytes()).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let results = document["runs"][0]["results"].as_array().unwrap();
    let region = &results[2]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(
        (&region["startLine"], &region["startColumn"], &region["endColumn"]),
        (&2.into(), &17.into(), &26.into())
    );
}

#[test]
fn a_misspelt_configuration_is_told() {
    let (jettison, folder) = (Jettison::new(), folder("# check=skip=UndefindVar\nFROM scratch\n", &[]));
    let ran = run_in(&jettison, folder.path(), &["check"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("Dockerfile:1:9: there is no check named \"UndefindVar\""), "{}", ran.stderr);
    fs::write(folder.path().join("Dockerfile"), "# check=nonsense\nFROM scratch\n").unwrap();
    for command in [&["check"][..], &["build", "."]] {
        let stderr = run_in(&jettison, folder.path(), command).fails(3);
        assert!(stderr.contains("Dockerfile:1:9: failed to parse check options"), "{stderr}");
    }
}

#[test]
fn a_build_tells_what_checks_found_at_its_end() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox as base\nRUN echo hello there\n", &[]);
    let ran = run_in(&jettison, folder.path(), &["build", "--progress=plain", "."]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let warning = "warning: Dockerfile:1: FromAsCasing: 'as' and 'FROM' keywords' casing do not match";
    let (at, step) = (ran.stderr.find(warning), ran.stderr.find("RUN echo"));
    assert!(at.is_some() && step < at, "{}", ran.stderr);
    let ran = run_in(&jettison, folder.path(), &["build", "--quiet", "."]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn findings_can_fail_a_build_before_its_first_step() {
    let jettison = Jettison::with_busybox();
    let text = "# check=error=true\nFROM busybox as base\nRUN echo ran-anyway\n";
    let folder = folder(text, &[]);
    let stderr = run_in(&jettison, folder.path(), &["build", "--progress=plain", "."]).fails(3);
    assert!(!stderr.contains("ran-anyway"), "{stderr}");
    assert!(stderr.contains("warning: Dockerfile:2: FromAsCasing"), "{stderr}");
    assert!(stderr.contains("Dockerfile:2:14: lint violation found for rules: FromAsCasing"), "{stderr}");
    let args = ["build", "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=all", "."];
    run_in(&jettison, folder.path(), &args).ok();
}

const OUTLINE: &str = "# GO which Go\nARG GO=1.25\n# build does the work\nFROM golang:${GO} AS build\n\
                       RUN --mount=type=secret,id=token,required --mount=type=ssh true\n\
                       # app is what leaves\nFROM scratch AS app\n# PORT to listen on\nARG PORT=80\nARG DEBUG\n\
                       COPY --from=build /a /\n";

#[test]
fn outline() {
    let (jettison, folder) = (Jettison::new(), folder(OUTLINE, &[]));
    let ran = run_in(&jettison, folder.path(), &["build", "--call=outline", "--build-arg", "GO=1.26", "."]);
    insta::assert_snapshot!(ran.ok(), @r#"
    TARGET:      app
    DESCRIPTION: is what leaves

    BUILD ARG   VALUE   DESCRIPTION
    GO          1.26    which Go
    PORT        80      to listen on
    DEBUG

    SECRET   REQUIRED
    token    true

    SSH       REQUIRED
    default
    "#);
    let ran =
        run_in(&jettison, folder.path(), &["build", "--call=outline,format=json", "--target=build", "."]);
    let document: serde_json::Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!(document["description"], "does the work");
    assert_eq!(document["args"][0]["location"]["ranges"][0]["start"]["line"], 2);
    assert_eq!(document["secrets"][0]["name"], "token");
    assert_eq!(document["ssh"][0].get("required"), None);
}

#[test]
fn targets() {
    let text = "# build defines stage for compiling the binary\nFROM alpine AS build\nRUN true\nFROM busybox as second\n\
                RUN false\nFROM alpine\nRUN false\n# binary returns the compiled binary\nFROM second AS binary\n";
    let (jettison, folder) = (Jettison::new(), folder(text, &[]));
    let ran = run_in(&jettison, folder.path(), &["build", "--call=targets", "."]);
    insta::assert_snapshot!(ran.ok(), @r#"
    TARGET           DESCRIPTION
    build            defines stage for compiling the binary
    second

    binary (default) returns the compiled binary
    "#);
    let ran = run_in(&jettison, folder.path(), &["build", "--call=targets,format=json", "."]);
    let document: serde_json::Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!(document["targets"][1]["base"], "busybox");
    assert_eq!(document["targets"][3]["default"], true);
    assert_eq!(document["targets"][3]["location"]["ranges"][0]["start"]["line"], 9);
}

#[test]
fn calls_that_are_none() {
    let (jettison, folder) = (Jettison::new(), folder(OUTLINE, &[]));
    for args in [
        &["build", "--call=x", "."][..],
        &["build", "--check", "--call=targets", "."],
        &["check", "--call=targets"],
    ] {
        run_in(&jettison, folder.path(), args).fails(2);
    }
    let ran = run_in(&jettison, folder.path(), &["build", "--call=subrequests.describe", "."]);
    assert!(ran.ok().contains("targets"));
    fs::write(folder.path().join("Dockerfile"), "FRM x\n").unwrap();
    for call in ["--call=targets", "--call=outline"] {
        let stderr = run_in(&jettison, folder.path(), &["build", call, "."]).fails(3);
        assert!(stderr.contains("did you mean FROM?"), "{stderr}");
    }
}

#[test]
fn completions_and_man_pages() {
    let jettison = Jettison::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = jettison.run(&["completions", shell]).ok();
        assert!(script.contains("build-arg") && script.contains("offline"), "{shell}");
    }
    jettison.run(&["completions", "sh"]).fails(2);
    assert!(jettison.run(&["man"]).ok().contains(".TH jettison 1"));
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    jettison.run(&["man", pages.to_str().unwrap()]).ok();
    let page = fs::read_to_string(pages.join("jettison-check.1")).unwrap();
    assert!(page.contains(".TH jettison-check 1") && page.contains("\\-\\-offline"), "{page}");
}
