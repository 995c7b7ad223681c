//! Checks: for each rule what it finds and what it does not, most of it as in BuildKit's `dockerfile_check_test.go`.
//!
//! A finding is written `LINE RULE [WORDS] MESSAGE`: the line that BuildKit gives, and the words that we point at.

use jettison_dockerfile::ignore::Patterns;
use jettison_dockerfile::lint::{self, Finding};
use jettison_dockerfile::source::LineIndex;
use jettison_oci::{ImageConfig, Platform, RootFs};
use jettison_plan::survey::{self, Stages, Survey};
use jettison_plan::{Images, Options};

use crate::support::{base, options, with_args};

/// One run of all checks.
struct Run<'a> {
    options: Options,
    ignore: Option<&'a str>,
    stages: Stages,
    config_of: &'a dyn Fn(&str) -> Option<ImageConfig>,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self { options: options(), ignore: None, stages: Stages::All, config_of: &|_| Some(base()) }
    }
}

impl Run<'_> {
    fn findings(&self, text: &str) -> (Vec<Finding>, bool) {
        let parsed = jettison_dockerfile::parse(text.as_bytes());
        assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
        let file = &parsed.dockerfile;
        let mut images = Images::default();
        for image in survey::bases(file, &self.options, self.stages) {
            if let Some(config) = (self.config_of)(&image.reference.familiar()) {
                images.insert(image.reference, image.platform, config);
            }
        }
        let ignore =
            self.ignore.map(|text| Patterns::parse(text.as_bytes()).expect("the patterns are right"));
        let (mut linter, _) = survey::linter(file, &self.options).expect("the directive is right");
        lint::check_text(file, &mut linter);
        let (options, stages) = (&self.options, self.stages);
        let request = Survey { file, options, images: &images, ignore: ignore.as_ref(), stages };
        survey::survey(&request, &mut linter);
        let failing = linter.is_failing();
        (linter.into_findings(), failing)
    }

    #[track_caller]
    fn finds(&self, text: &str, expected: &[&str]) {
        let lines = LineIndex::new(text);
        let shown = |finding: Finding| {
            let words = text[finding.span.start..finding.span.end].replace('\n', "\\n");
            let line = lines.position(finding.location.start).0;
            format!("{line} {} [{words}] {}", finding.rule.name, finding.message)
        };
        let found: Vec<String> = self.findings(text).0.into_iter().map(shown).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[track_caller]
fn finds(text: &str, expected: &[&str]) {
    Run::default().finds(text, expected);
}

#[track_caller]
fn fine(text: &str) {
    finds(text, &[]);
}

#[test]
fn stage_name_casing() {
    finds(
        "FROM scratch AS BadStageName\nFROM scratch AS good\n",
        &["1 StageNameCasing [BadStageName] Stage name 'BadStageName' should be lowercase"],
    );
    finds("FROM scratch \\\n  AS Bad\n", &["1 StageNameCasing [Bad] Stage name 'Bad' should be lowercase"]);
    fine("FROM scratch AS bad_stage-name.1\n");
}

#[test]
fn from_as_casing() {
    finds(
        "FROM scratch as base2\nFROM scratch AS base3\n",
        &["1 FromAsCasing [as] 'as' and 'FROM' keywords' casing do not match"],
    );
    finds(
        "from scratch AS base\nfrom scratch as base2\n",
        &["1 FromAsCasing [AS] 'AS' and 'from' keywords' casing do not match"],
    );
    finds("FROM scratch As a\n", &["1 FromAsCasing [As] 'As' and 'FROM' keywords' casing do not match"]);
    fine("from scratch as a\nfrom a\n");
}

#[test]
fn no_empty_continuation() {
    // BuildKit gives the last line of the instruction; we point at the empty one.
    finds(
        "FROM scratch\nCOPY a \\\n\n.\nCOPY a \\\n.\n",
        &["4 NoEmptyContinuation [] Empty continuation line"],
    );
    finds(
        "FROM scratch\nCOPY <<E \\\n \n /\nx\n\nE\n",
        &["4 NoEmptyContinuation [ ] Empty continuation line"],
    );
    finds("FROM \\\n\nscratch\n", &["3 NoEmptyContinuation [] Empty continuation line"]);
    finds("ARG A \\\n\n\n B\nFROM a\n", &["4 NoEmptyContinuation [] Empty continuation line"]);
    fine("FROM scratch\nCOPY a \\\n# comment\n  # another\n.\n");
}

#[test]
fn consistent_instruction_casing() {
    let found = |line: u32, word: &str, casing: &str| {
        format!(
            "{line} ConsistentInstructionCasing [{word}] Command '{word}' should match the case of the command \
             majority ({casing})"
        )
    };
    finds("From scratch as base\nFROM scratch AS base2\n", &[&found(1, "From", "uppercase")]);
    finds("frOM scratch as base\nfrom scratch as base2\n", &[&found(1, "frOM", "lowercase")]);
    finds("FROM scratch\ncopy a /b\nCOPY a /c\n", &[&found(2, "copy", "uppercase")]);
    finds("from scratch\nCOPY a /b\ncopy a /c\n", &[&found(2, "COPY", "lowercase")]);
    finds("from scratch\nCOPY a /b\nCOPY a /c\nCOPY a /d\n", &[&found(1, "from", "uppercase")]);
    finds("FROM scratch\ncopy a /b\ncopy a /c\n", &[&found(1, "FROM", "lowercase")]);
    finds("FROM scratch\ncopy a /b\n", &[&found(2, "copy", "uppercase")]);
    fine("from scratch\ncopy a /b\ncopy a /c\n");
    fine("FROM scratch\nCOPY a /b\nCOPY a /c\n");
    fine("FROM alpine\nRUN <<'EOT'\nenv\nEOT\n");
    // ARG before FROM belongs to no stage, and does not count.
    fine("arg A=1\narg B=1\nFROM scratch\n");
}

#[test]
fn duplicate_stage_name() {
    finds(
        "FROM scratch AS b\nFROM scratch AS b\nFROM scratch AS B\n",
        &[
            "2 DuplicateStageName [b] Duplicate stage name \"b\", stage names should be unique",
            "3 DuplicateStageName [B] Duplicate stage name \"b\", stage names should be unique",
            "3 StageNameCasing [B] Stage name 'B' should be lowercase",
        ],
    );
    fine("FROM scratch AS b1\nFROM scratch AS b2\nFROM scratch\nFROM scratch\n");
}

#[test]
fn reserved_stage_name() {
    finds(
        "FROM scratch AS scratch\nFROM scratch AS context\n",
        &[
            "1 ReservedStageName [scratch] Stage name should not use the same name as reserved stage \"scratch\"",
            "2 ReservedStageName [context] Stage name should not use the same name as reserved stage \"context\"",
        ],
    );
    fine("FROM scratch\nFROM scratch AS a\n");
}

#[test]
fn json_args_recommended() {
    let found = |line: u32, word: &str| {
        format!(
            "{line} JSONArgsRecommended [{word}] JSON arguments recommended for {word} to prevent unintended behavior \
             related to OS signals"
        )
    };
    finds("FROM scratch\nCMD mycommand\n", &[&found(2, "CMD")]);
    finds("FROM scratch\nENTRYPOINT mycommand\n", &[&found(2, "ENTRYPOINT")]);
    finds("FROM scratch AS a\nCMD x\nFROM a\nCMD y\n", &[&found(2, "CMD"), &found(4, "CMD")]);
    finds("from scratch\ncmd x\n", &[&found(2, "cmd")]);
    finds("FROM scratch\nCMD [\"a\"] # no JSON\n", &[&found(2, "CMD")]);
    fine("FROM scratch\nCMD [\"a\"]\nENTRYPOINT []\nHEALTHCHECK CMD x\nRUN x\n");
    fine("FROM scratch\nSHELL [\"/usr/bin/customshell\"]\nCMD mycommand\n");
    fine("FROM scratch\nSHELL [\"/usr/bin/customshell\"]\nENTRYPOINT mycommand\n");
    fine("FROM scratch AS base\nSHELL [\"/x\"]\nFROM base\nCMD mycommand\n");
    let mut image = base();
    image.config.shell = Some(vec!["/bin/bash".to_owned()]);
    Run { config_of: &|_| Some(image.clone()), ..Run::default() }.finds("FROM a\nCMD x\n", &[]);
    // A stage beside the one with SHELL.
    finds("FROM scratch AS a\nSHELL [\"x\"]\nFROM scratch\nCMD x\n", &[&found(4, "CMD")]);
}

#[test]
fn maintainer_deprecated() {
    finds(
        "FROM scratch\nMAINTAINER me@example.org\n",
        &["2 MaintainerDeprecated [MAINTAINER] Maintainer instruction is deprecated in favor of using label"],
    );
    fine("FROM scratch\nLABEL org.opencontainers.image.authors=\"me@example.org\"\n");
}

#[test]
fn undefined_arg_in_from() {
    fine("ARG base=scratch\nFROM $base\nCOPY a .\n");
    fine("ARG BUILDPLATFORM=linux/amd64\nFROM --platform=$BUILDPLATFORM scratch\n");
    fine("FROM --platform=$BUILDPLATFORM scratch\n");
    fine("ARG DEBUG\nFROM scratch${DEBUG}\n");
    fine("ARG DEBUG\nFROM scra${DEBUG:-tch}\n");
    fine("ARG DEBUG=\"\"\nFROM scratch${DEBUG-@bogus}\n");
    finds(
        "FROM --platform=$BULIDPLATFORM scratch\n",
        &[
            "1 UndefinedArgInFrom [$BULIDPLATFORM] FROM argument 'BULIDPLATFORM' is not declared (did you mean \
           BUILDPLATFORM?)",
        ],
    );
    finds(
        "ARG MY_OS=linux\nARG MY_ARCH=amd64\nFROM --platform=linux/${MYARCH} busybox\n",
        &[
            "3 UndefinedArgInFrom [linux/${MYARCH}] FROM argument 'MYARCH' is not declared (did you mean MY_ARCH?)",
        ],
    );
    finds(
        "ARG tag=latest\nFROM busybox:${tag}${version} AS b\n",
        &["2 UndefinedArgInFrom [busybox:${tag}${version}] FROM argument 'version' is not declared"],
    );
    // An ARG of a stage is none of FROM's, and a build argument needs its ARG.
    let options = with_args(&[("A", "1")]);
    Run { options, ..Run::default() }
        .finds("FROM a:x$A\nARG A\n", &["1 UndefinedArgInFrom [a:x$A] FROM argument 'A' is not declared"]);
}

#[test]
fn workdir_relative_path() {
    finds(
        "FROM scratch\nWORKDIR app/\n",
        &[
            "2 WorkdirRelativePath [app/] Relative workdir \"app/\" can have unexpected results if the base image changes",
        ],
    );
    // Only the first of a chain counts, and what a variable holds.
    finds(
        "FROM scratch AS a\nARG D=app\nWORKDIR $D\nWORKDIR b\nFROM a\nWORKDIR c\n",
        &[
            "3 WorkdirRelativePath [$D] Relative workdir \"app\" can have unexpected results if the base image changes",
        ],
    );
    fine("FROM scratch AS a\nWORKDIR /app\nFROM a AS b\nWORKDIR subdir/\n");
    fine("FROM scratch\nENV D=/app\nWORKDIR $D\nWORKDIR x\n");
    // The WORKDIR of the base image does not count.
    let mut image = base();
    image.config.working_dir = "/src".to_owned();
    Run { config_of: &|_| Some(image.clone()), ..Run::default() }.finds(
        "FROM a\nWORKDIR x\n",
        &["2 WorkdirRelativePath [x] Relative workdir \"x\" can have unexpected results if the base image changes"],
    );
}

#[test]
fn undefined_var() {
    fine("FROM scratch\nARG foo\nCOPY Dockerfile${foo} .\n");
    fine("FROM alpine AS base\nARG foo=Dockerfile\nFROM base\nCOPY $foo .\n");
    fine("FROM alpine\nRUN echo $PAHT\nCMD [\"$x\"]\nHEALTHCHECK CMD $x\n");
    fine("FROM alpine\nENV PATH=$PATH:/x\n");
    fine("FROM alpine\nCOPY '$a' \\$b /\n");
    finds(
        "FROM alpine\nCOPY $foo .\nARG foo=bar\nRUN echo $foo\n",
        &["2 UndefinedVar [$foo] Usage of undefined variable '$foo'"],
    );
    finds(
        "FROM alpine\nARG DIR_BINARIES=b/\nARG DIR_ASSETS=a/\nARG DIR_CONFIG=c/\nCOPY $DIR_ASSET .\n",
        &["5 UndefinedVar [$DIR_ASSET] Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)"],
    );
    finds(
        "FROM alpine\nENV PATH=$PAHT:/tmp/bin\n",
        &["2 UndefinedVar [$PAHT:/tmp/bin] Usage of undefined variable '$PAHT' (did you mean $PATH?)"],
    );
    finds(
        "FROM scratch AS first\nCOPY $foo .\nFROM scratch AS second\nCOPY $bar .\n",
        &[
            "2 UndefinedVar [$foo] Usage of undefined variable '$foo'",
            "4 UndefinedVar [$bar] Usage of undefined variable '$bar'",
        ],
    );
    // In every place that is expanded; each variable once per instruction.
    finds(
        "FROM alpine\nCOPY --chown=$a --chmod=$b $c $a <<E $d\n$e\nE\nENV x$f=$g\nLABEL $h=$i\nUSER $j\nWORKDIR /$k\n\
         VOLUME $l\nSTOPSIGNAL ${m:-1}\nARG A=$n\nRUN --mount=type=cache,target=$o x\nADD --checksum=$p https://x/y /\n",
        &[
            "2 UndefinedVar [$a] Usage of undefined variable '$a'",
            "2 UndefinedVar [$b] Usage of undefined variable '$b'",
            "2 UndefinedVar [$c] Usage of undefined variable '$c'",
            "2 UndefinedVar [<<E] Usage of undefined variable '$e'",
            "2 UndefinedVar [$d] Usage of undefined variable '$d'",
            "5 UndefinedVar [x$f] Usage of undefined variable '$f'",
            "5 UndefinedVar [$g] Usage of undefined variable '$g'",
            "6 UndefinedVar [$h] Usage of undefined variable '$h'",
            "6 UndefinedVar [$i] Usage of undefined variable '$i'",
            "7 UndefinedVar [$j] Usage of undefined variable '$j'",
            "8 UndefinedVar [/$k] Usage of undefined variable '$k'",
            "9 UndefinedVar [$l] Usage of undefined variable '$l'",
            "10 UndefinedVar [${m:-1}] Usage of undefined variable '$m'",
            "11 UndefinedVar [$n] Usage of undefined variable '$n'",
            "12 UndefinedVar [type=cache,target=$o] Usage of undefined variable '$o'",
            "13 UndefinedVar [$p] Usage of undefined variable '$p'",
        ],
    );
    // A default that a build argument replaces is not looked at.
    let options = with_args(&[("A", "1")]);
    Run { options, ..Run::default() }.finds("FROM alpine\nARG A=$nope\n", &[]);
    // What the base image defines counts; of a base that nobody knows anything may come.
    let mut image = base();
    image.config.env.push("GOPATH=/go".to_owned());
    Run { config_of: &|_| Some(image.clone()), ..Run::default() }.finds("FROM go\nENV X=$GOPATH\n", &[]);
    Run { config_of: &|_| None, ..Run::default() }.finds(
        "FROM go AS a\nENV X=$GOPATH\nFROM a\nENV Y=$Z\nFROM scratch\nENV X=$GOPATH\n",
        &["6 UndefinedVar [$GOPATH] Usage of undefined variable '$GOPATH' (did you mean $PATH?)"],
    );
}

#[test]
fn multiple_instructions_disallowed() {
    let found = |line: u32, word: &str| {
        format!(
            "{line} MultipleInstructionsDisallowed [{word}] Multiple {word} instructions should not be used in the \
             same stage because only the last one will be used"
        )
    };
    finds(
        "FROM scratch\nENTRYPOINT [\"/a\"]\nENTRYPOINT [\"/b\"]\nCMD [\"/a\"]\nCMD [\"/b\"]\nHEALTHCHECK CMD [\"/a\"]\n\
         HEALTHCHECK CMD [\"/b\"]\n",
        &[&found(2, "ENTRYPOINT"), &found(4, "CMD"), &found(6, "HEALTHCHECK")],
    );
    finds(
        "FROM scratch\nENTRYPOINT [\"/a\"]\nCMD [\"/a\"]\nHEALTHCHECK NONE\nCOPY <<EOF /a.txt\nHello\nEOF\n\
         ENTRYPOINT [\"/b\"]\nCMD [\"/b\"]\nHEALTHCHECK CMD [\"/b\"]\n",
        &[&found(2, "ENTRYPOINT"), &found(3, "CMD"), &found(4, "HEALTHCHECK")],
    );
    fine(
        "FROM scratch AS a\nENTRYPOINT [\"/a\"]\nCMD [\"/a\"]\nHEALTHCHECK CMD [\"/a\"]\nFROM a AS b\n\
         ENTRYPOINT [\"/b\"]\nCMD [\"/b\"]\nHEALTHCHECK CMD [\"/b\"]\n",
    );
    finds("FROM scratch\nCMD [\"1\"]\nCMD [\"2\"]\nCMD [\"3\"]\n", &[&found(2, "CMD"), &found(3, "CMD")]);
}

#[test]
fn legacy_key_value_format() {
    let found = |line: u32, word: &str, key: &str| {
        format!(
            "{line} LegacyKeyValueFormat [{key}] \"{word} key=value\" should be used instead of legacy \"{word} key \
             value\" format"
        )
    };
    finds(
        "FROM scratch\nENV testkey value\nLABEL key value\n",
        &[&found(2, "ENV", "testkey"), &found(3, "LABEL", "key")],
    );
    fine("FROM scratch\nENV testkey=value\nLABEL key=value\n");
    // A build looks at the stages that it needs, a check at all.
    let text = "FROM scratch AS a\nFROM a AS b\nENV testkey value\nLABEL key value\nFROM a AS c\n";
    finds(text, &[&found(3, "ENV", "testkey"), &found(4, "LABEL", "key")]);
    Run { stages: Stages::Needed, ..Run::default() }.finds(text, &[]);
    let options = Options { target: Some("b".to_owned()), ..options() };
    let findings = [found(3, "ENV", "testkey"), found(4, "LABEL", "key")];
    Run { stages: Stages::Needed, options, ..Run::default() }.finds(text, &[&findings[0], &findings[1]]);
}

#[test]
fn invalid_base_image_platform() {
    let found = |line: u32, image: &str, expected: &str| {
        format!(
            "{line} InvalidBaseImagePlatform [{image}] Base image {image} was pulled with platform \"linux/amd64\", \
             expected \"{expected}\" for current build"
        )
    };
    let options = Options { platform: Some(Platform::new("linux", "arm64", None)), ..options() };
    Run { options, ..Run::default() }.finds(
        "FROM a:1\nFROM --platform=$BUILDPLATFORM b\nFROM --platform=$TARGETARCH/x c AS x_1\n",
        &[&found(1, "a:1", "linux/arm64"), &found(3, "c", "arm64/x")],
    );
    // The variant is not compared, and an image without files runs anywhere.
    let v2 = Options { platform: "linux/amd64/v2".parse().ok(), ..options_of("amd64") };
    Run { options: v2, ..Run::default() }.finds("FROM a\n", &[]);
    let empty = ImageConfig { rootfs: RootFs::default(), history: Vec::new(), ..base() };
    let run = Run { options: options_of("arm64"), config_of: &|_| Some(empty.clone()), ..Run::default() };
    run.finds("FROM a\n", &[]);
}

fn options_of(architecture: &str) -> Options {
    Options { platform: Some(Platform::new("linux", architecture, None)), ..options() }
}

#[test]
fn redundant_target_platform() {
    for variable in ["$TARGETPLATFORM", "${TARGETPLATFORM}"] {
        let found = format!(
            "1 RedundantTargetPlatform [{variable}] Setting platform to predefined {variable} in FROM is redundant as \
             this is the default behavior"
        );
        finds(&format!("FROM --platform={variable} scratch\n"), &[&found]);
    }
    fine("FROM --platform=$BUILDPLATFORM scratch\nFROM --platform=linux/$TARGETARCH scratch\n");
    fine("ARG P=linux/amd64\nFROM --platform=$P scratch\n");
}

#[test]
fn secrets_used_in_arg_or_env() {
    let found = |line: u32, instruction: &str, name: &str| {
        format!(
            "{line} SecretsUsedInArgOrEnv [{name}] Do not use ARG or ENV instructions for sensitive data \
             ({instruction} \"{name}\")"
        )
    };
    finds(
        "# check=skip=InvalidDefinitionDescription\n\nFROM scratch\nARG SECRET_PASSPHRASE\nENV SUPER_Secret=foo\n\
         ENV password=bar secret=baz\nARG super_duper_secret_token=foo auth=bar\nENV apikey=bar sunflower=foo\n\
         ENV git_key=\nENV PUBLIC_KEY=\nARG public_token\nARG SECRET_PASSPHRASE_FILE\n\
         ENV password_file=bar secret_File=baz\nARG AUTH_MODULE_VERSION\n\
         # check=skip=SecretsUsedInArgOrEnv // allow secret in environment\nENV password=bar\n\
         # check=skip=SecretsUsedInArgOrEnv // allow secret in arg\nARG password\n\
         # check=skip=all // is local to only this instruction\nENV alternate_password=bar\n\
         # check=skip=all // is local to only this instruction\nARG alternate_password\n",
        &[
            &found(4, "ARG", "SECRET_PASSPHRASE"),
            &found(5, "ENV", "SUPER_Secret"),
            &found(6, "ENV", "password"),
            &found(6, "ENV", "secret"),
            &found(7, "ARG", "super_duper_secret_token"),
            &found(7, "ARG", "auth"),
            &found(8, "ENV", "apikey"),
            &found(9, "ENV", "git_key"),
        ],
    );
    fine("ARG TOKEN\nFROM scratch\nENV KEYBOARD=1 monkey=2 AUTHOR=3\nLABEL password=x\n");
    // What the name comes to counts.
    finds(
        "FROM scratch\nENV A=PASSWD\nENV $A=1\n",
        &[
            "3 SecretsUsedInArgOrEnv [$A] Do not use ARG or ENV instructions for sensitive data (ENV \"PASSWD\")",
        ],
    );
}

#[test]
fn invalid_default_arg_in_from() {
    let found = |word: &str| {
        format!(
            "2 InvalidDefaultArgInFrom [{word}] Default value for ARG {word} results in empty or invalid base image name"
        )
    };
    let with = |name: &str, value: &str| Run { options: with_args(&[(name, value)]), ..Run::default() };
    with("VERSION", "latest").finds("ARG VERSION\nFROM busybox:$VERSION\n", &[&found("busybox:$VERSION")]);
    with("IMAGE", "busybox").finds("ARG IMAGE\nFROM $IMAGE\n", &[&found("$IMAGE")]);
    with("SFX", "box:latest").finds("ARG SFX=\"box:\"\nFROM busy${SFX}\n", &[&found("busy${SFX}")]);
    with("VERSION", "latest").finds("ARG VERSION=\"latest\"\nFROM busybox:${VERSION}\n", &[]);
    with("V", "-musl").finds("ARG V=\"\"\nFROM busybox:stable${V}\n", &[]);
    with("V", "-musl").finds("ARG V\nFROM busybox:stable${V}\n", &[]);
    // Where the defaults cannot even be evaluated, nothing is said of them.
    with("A", "b").finds("ARG A=${A:?needed}\nFROM $A\n", &[]);
}

#[test]
fn from_platform_flag_const_disallowed() {
    finds(
        "FROM --platform=linux/amd64 scratch\n",
        &[
            "1 FromPlatformFlagConstDisallowed [linux/amd64] FROM --platform flag should not use constant value \
           \"linux/amd64\"",
        ],
    );
    finds(
        "FROM --platform=\"linux/arm64\" scratch AS a\n",
        &[
            "1 FromPlatformFlagConstDisallowed [\"linux/arm64\"] FROM --platform flag should not use constant value \
           \"linux/arm64\"",
        ],
    );
    fine("FROM --platform=linux/amd64 scratch AS my_amd64_stage\n");
    fine("FROM --platform=linux/amd64 scratch AS linux\n");
    fine("FROM --platform=linux/x86_64 scratch AS amd64\n");
}

#[test]
fn copy_ignored_file() {
    let with = |ignore| Run { ignore: Some(ignore), ..Run::default() };
    let found = |line: u32, verb: &str, word: &str, file: &str| {
        format!(
            "{line} CopyIgnoredFile [{word}] Attempting to {verb} file \"{file}\" that is excluded by .dockerignore"
        )
    };
    let text = "FROM scratch\nCOPY Dockerfile .\nADD Dockerfile /windy\n";
    with("Dockerfile\n").finds(
        text,
        &[&found(2, "Copy", "Dockerfile", "Dockerfile"), &found(3, "Add", "Dockerfile", "Dockerfile")],
    );
    with("Dockerfile\n").finds(&format!("# check=skip=CopyIgnoredFile\n{text}"), &[]);
    with("foobar\n").finds(
        "FROM scratch AS base\nCOPY Dockerfile /foobar\nADD Dockerfile /windy\nFROM base\n\
         COPY --from=base /foobar /Dockerfile\n",
        &[],
    );
    with("**\n!Dockerfile\n").finds("FROM scratch\nCOPY ./Dockerfile .\nCOPY . .\n", &[]);
    with(".*\n").finds("FROM scratch\nCOPY . .\n", &[]);
    with("*\n").finds("FROM scratch\nCOPY . .\n", &[&found(2, "Copy", ".", ".")]);
    with("sub\n!sub/b.txt\n")
        .finds("FROM scratch\nCOPY sub/a.txt /\n", &[&found(2, "Copy", "sub/a.txt", "sub/a.txt")]);
    with("sub\n!sub/a.txt\n")
        .finds("FROM scratch\nCOPY sub /sub\nCOPY . /\nCOPY sub/a.txt /\nCOPY sub/*.txt /\n", &[]);
    // What is no path of the context is not compared with it.
    with("*\n").finds("FROM scratch\nADD https://example.org/x /\nCOPY <<x /y\nx\n", &[]);
    // What a variable holds counts.
    with("a\n").finds("FROM scratch\nARG F=a\nCOPY ./b/../$F /\n", &[&found(3, "Copy", "./b/../$F", "a")]);
    fine(text);
}

#[test]
fn invalid_definition_description() {
    fine(
        "# check=skip=all;experimental=InvalidDefinitionDescription\n# foo this is the foo\nARG foo=bar\n\n\
         # base this is the base image\nFROM scratch AS base\n\n# version this is the version number\n\
         ARG version=latest\n\n# baz this is the baz\nARG foo=baz bar=qux baz=quux\n#\nARG bit=bat\n\n\
         # comment for something other than ARG or FROM\nCOPY Dockerfile .\n",
    );
    let found = |line: u32, instruction: &str, words: &str, name: &str| {
        format!(
            "{line} InvalidDefinitionDescription [{words}] Comment for {instruction} should follow the format: \
             `# {name} <description>`"
        )
    };
    let body = "# bar this is the bar\nARG foo=bar\n# BasE this is the BasE image\nFROM scratch AS base\n\
                # definitely a bad comment\nARG version=latest\n# definitely a bad comment\n\
                ARG foo=baz bar=qux baz=quux\n";
    let findings = [
        found(3, "ARG", "ARG foo=bar", "foo"),
        found(5, "FROM", "FROM scratch AS base", "base"),
        found(7, "ARG", "ARG version=latest", "version"),
        found(9, "ARG", "ARG foo=baz bar=qux baz=quux", "<arg_key>"),
    ];
    let findings: Vec<&str> = findings.iter().map(String::as_str).collect();
    finds(&format!("# check=experimental=InvalidDefinitionDescription\n{body}"), &findings);
    finds(&format!("# check=experimental=all;skip=all\n{body}"), &findings);
    // Experimental: not without being asked for.
    fine(body);
    fine("# check=experimental=all\n# something\nFROM scratch\n# about\n\nARG A\n");
}

#[test]
fn expose_proto_casing() {
    let found = |word: &str| {
        format!(
            "2 ExposeProtoCasing [{word}] Defined protocol '{word}' in EXPOSE instruction should be lowercase"
        )
    };
    finds("FROM scratch\nEXPOSE 80/TcP 8080/TCP 8080/udp\n", &[&found("80/TcP"), &found("8080/TCP")]);
    fine("FROM scratch\nEXPOSE 80/tcp 81 82-90/udp\n");
    finds(
        "FROM scratch\nARG P=\"1/tcp 2/UDP\"\nEXPOSE $P\n",
        &["3 ExposeProtoCasing [$P] Defined protocol '2/UDP' in EXPOSE instruction should be lowercase"],
    );
}

#[test]
fn expose_invalid_format() {
    let found = |word: &str| {
        format!(
            "2 ExposeInvalidFormat [{word}] EXPOSE instruction should not define an IP address or host-port mapping, \
             found '{word}'"
        )
    };
    finds(
        "FROM scratch\nEXPOSE 127.0.0.1:80:80 [::1]:8080:8080 5000:5000 8000\n",
        &[&found("127.0.0.1:80:80"), &found("[::1]:8080:8080"), &found("5000:5000")],
    );
    fine("FROM scratch\nEXPOSE 8000 9000-9010/udp\n");
}

#[test]
fn check_options() {
    let body = "FROM scratch as base\ncopy Dockerfile .\n";
    let casing = "2 FromAsCasing [as] 'as' and 'FROM' keywords' casing do not match";
    fine(&format!("#check=skip=all\n{body}"));
    fine(&format!("#check=skip=ConsistentInstructionCasing,FromAsCasing\n{body}"));
    finds(&format!("#check=skip=ConsistentInstructionCasing\n{body}"), &[casing]);
    // The build argument takes the place of the directive.
    let with =
        |value: &str| Run { options: with_args(&[("BUILDKIT_DOCKERFILE_CHECK", value)]), ..Run::default() };
    with("skip=ConsistentInstructionCasing;error=true").finds(&format!("#check=skip=all\n{body}"), &[casing]);
    with("skip=all").finds(&format!("#check=error=true\n{body}"), &[]);
    with("").finds(&format!("#check=skip=ConsistentInstructionCasing\n{body}"), &[
        casing,
        "3 ConsistentInstructionCasing [copy] Command 'copy' should match the case of the command majority (uppercase)",
    ]);
}

#[test]
fn findings_that_fail_the_build() {
    let failing = |text: &str| Run::default().findings(text).1;
    let body = "FROM scratch as base\nCOPY a .\n";
    assert!(!failing(body));
    assert!(failing(&format!("#check=error=true\n{body}")));
    assert!(!failing(&format!("#check=skip=all;error=true\n{body}")));
    assert!(!failing(&format!("#check=skip=FromAsCasing;error=true\n{body}")));
    assert!(failing(&format!("\n# check=error=true\n{body}")), "above one instruction");
    assert!(!failing(&format!("{body}# check=error=true\nCOPY b .\n")), "above another instruction");
}

#[test]
fn comments_above_instructions() {
    for text in [
        "FROM scratch\n# check=skip=JSONArgsRecommended\nCMD mycommand\n",
        "FROM scratch\n# check=skip=JSONArgsRecommended\nENTRYPOINT mycommand\n",
        "FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER me@example.org\n",
        "FROM scratch\n# check=skip=WorkdirRelativePath\nWORKDIR app/\n",
        "FROM scratch\n# check=skip=LegacyKeyValueFormat\nENV testkey value\n",
        "\n# check=skip=RedundantTargetPlatform\nFROM --platform=$TARGETPLATFORM scratch\n",
        "\n# check=skip=all\nFROM --platform=linux/amd64 $x AS Context\n# check=skip=all\nexpose 1:1\n",
        "FROM scratch\n# about\n# check=skip=UndefinedVar\n# more\nUSER $x\n",
        "FROM scratch AS a\n# check=skip=NoEmptyContinuation\nCOPY a \\\n\n b\n",
    ] {
        fine(text);
    }
    let found = "4 JSONArgsRecommended [CMD] JSON arguments recommended for CMD to prevent unintended behavior related \
                 to OS signals";
    finds("FROM scratch\n# check=skip=JSONArgsRecommended\n\nCMD x\n", &[found]);
    finds("FROM scratch\n# check=skip=UndefinedVar\n# check=skip=all\nCMD x\n", &[found]);
}

#[test]
fn triggers_of_bases() {
    let mut image = base();
    image.config.on_build = vec!["COPY $x /".to_owned(), "CMD y".to_owned(), "no instruction".to_owned()];
    Run { config_of: &|_| Some(image.clone()), ..Run::default() }.finds(
        "# check=skip=MultipleInstructionsDisallowed\nFROM a\nCMD [\"z\"]\n",
        &[
            "2 JSONArgsRecommended [FROM a] JSON arguments recommended for CMD to prevent unintended behavior related to \
             OS signals",
            "2 UndefinedVar [FROM a] Usage of undefined variable '$x'",
        ],
    );
    finds(
        "FROM scratch AS a\nONBUILD ENV K=$y\nFROM a AS b\nFROM b\n",
        &["3 UndefinedVar [FROM a AS b] Usage of undefined variable '$y'"],
    );
}

#[test]
fn replaced_stages() {
    let mut options = options();
    options.contexts.insert("a".to_owned(), jettison_plan::NamedContext::Folder);
    Run { options, ..Run::default() }.finds(
        "FROM scratch AS a\nUSER $x\nFROM a\nUSER $y\n",
        &["4 UndefinedVar [$y] Usage of undefined variable '$y'"],
    );
}

#[test]
fn configurations_that_cannot_be_read() {
    let refused = |text: &str| {
        let file = jettison_dockerfile::parse(text.as_bytes()).dockerfile;
        let error = survey::linter(&file, &options()).unwrap_err();
        (error.message, text[error.span.start..error.span.end].to_owned())
    };
    assert_eq!(
        refused("# check=skipp=all\nFROM a\n"),
        ("failed to parse check options: invalid check option \"skipp\"".to_owned(), "skipp=all".to_owned())
    );
    let file = jettison_dockerfile::parse(b"# check=skip=UndefindVar,Nope\nFROM a\n").dockerfile;
    let (_, remarks) = survey::linter(&file, &options()).unwrap();
    let remarks: Vec<_> = remarks.into_iter().map(|remark| (remark.message, remark.hint)).collect();
    assert_eq!(
        remarks,
        [
            (
                "there is no check named \"UndefindVar\"".to_owned(),
                Some("did you mean UndefinedVar?".to_owned())
            ),
            ("there is no check named \"Nope\"".to_owned(), None),
        ]
    );
}

#[test]
fn every_rule_has_its_place_in_the_list() {
    let mut names: Vec<&str> = lint::RULES.iter().map(|rule| rule.name).collect();
    for rule in lint::RULES {
        assert!(!rule.description.is_empty());
        let experimental = rule.name == "InvalidDefinitionDescription";
        assert_eq!(rule.experimental, experimental, "{}", rule.name);
        assert_eq!(rule.url().is_none(), rule.name == "InvalidBaseImagePlatform", "{}", rule.name);
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 22);
    assert_eq!(
        lint::RULES[0].url().as_deref(),
        Some("https://docs.docker.com/go/dockerfile/rule/stage-name-casing/")
    );
}

/// Large files must not take time that grows faster than they do: with such a fault these would take minutes.
#[test]
fn hostile_files() {
    let many = |line: &str, count: usize| line.repeat(count);
    let mut chain = "FROM scratch AS s0\n".to_owned();
    for index in 1..10_000 {
        chain += &format!("FROM s{} AS s{index}\nENV V{index}=$V{}\n", index - 1, index - 1);
    }
    let mut wide = format!("FROM scratch AS base\n{}", many("ENV A$B=$A$B\n", 5_000));
    wide += &many("FROM base\nARG A\nUSER $C\n", 5_000);
    let files = [
        chain,
        wide,
        many("FROM a AS a\n", 20_000),
        format!("FROM a\n{}", many("COPY a$b c\n", 30_000)),
        format!("FROM a\n{}CMD x\n", many("# check=skip=X\n", 30_000)),
        format!("FROM a\nENV {}\n", many("secret=$x ", 5_000)),
        format!("FROM a\n{}", many("ONBUILD RUN x\n", 5_000)) + &many("FROM a\n", 5_000),
        format!("FROM a\nENV a=aaaaaaaaaaaaaaaa\n{}", many("ENV a=$a$a\n", 40))
            + &many("LABEL x=$a\n", 10_000),
        many("ARG A=$A$B\n", 20_000) + "FROM $C\n",
    ];
    for file in files {
        let (findings, _) = Run { ignore: Some("c\n"), ..Run::default() }.findings(&file);
        assert!(findings.len() <= lint::MAX_FINDINGS);
    }
}
