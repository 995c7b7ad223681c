//! The rules of the language, one line each: what an instruction comes to, and what a mistake is called.
//!
//! Whole files and their diagnostics are in `snapshots.rs`, arbitrary bytes in `properties.rs`.

use jettison_dockerfile::{
    Command, CopyCommon, Healthcheck, Instruction, Kind, RunCommand, Severity, Span, Word, parse,
    parse_onbuild,
};

/// The instructions of a stage that begins with `FROM a`, which must have no errors.
fn stage(body: &str) -> Vec<Instruction> {
    let parsed = parse(format!("FROM a\n{body}").as_bytes());
    assert!(!parsed.has_errors(), "{body:?} gave {:?}", parsed.diagnostics);
    parsed.dockerfile.stages.into_iter().next().map(|stage| stage.instructions).unwrap_or_default()
}

/// The one instruction of a stage.
fn one(body: &str) -> Kind {
    let mut instructions = stage(body);
    assert_eq!(instructions.len(), 1, "{body:?}");
    instructions.remove(0).kind
}

/// Messages of the errors of a whole file.
fn errors(source: &str) -> Vec<String> {
    let diagnostics = parse(source.as_bytes()).diagnostics;
    diagnostics.into_iter().filter(|d| d.severity == Severity::Error).map(|d| d.message).collect()
}

/// The errors of a stage's body.
fn errors_in(body: &str) -> Vec<String> {
    errors(&format!("FROM a\n{body}"))
}

fn values(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.value.as_str()).collect()
}

fn shell(text: &str) -> RunCommand {
    RunCommand::Shell(text.to_owned())
}

fn exec(words: &[&str]) -> RunCommand {
    RunCommand::Exec(words.iter().map(|word| (*word).to_owned()).collect())
}

fn run(body: &str) -> RunCommand {
    match one(body) {
        Kind::Run(run) => run.command,
        other => panic!("{body:?} is {other:?}"),
    }
}

fn copy(body: &str) -> CopyCommon {
    match one(body) {
        Kind::Copy(copy) => copy.common,
        Kind::Add(add) => add.common,
        other => panic!("{body:?} is {other:?}"),
    }
}

#[test]
fn keywords_in_any_case() {
    for body in ["RUN x", "run x", "rUn x", "  RUN x", "\tRUN\tx", "RUN\x0bx"] {
        assert_eq!(run(body), shell("x"), "{body:?}");
    }
}

#[test]
fn files_without_instructions() {
    assert_eq!(errors(""), ["the Dockerfile cannot be empty"]);
    for source in ["\n", "# only\n# comments\n", " \t\n", "\u{feff}", "# escape=`\n"] {
        assert_eq!(errors(source), ["file with no instructions"], "{source:?}");
    }
    assert_eq!(errors("RUN x\nCMD y\n"), ["no build stage in current context"]);
    assert_eq!(errors("ARG A=1\n"), [] as [&str; 0]);
}

#[test]
fn from() {
    let cases = [
        ("FROM a", "a", None, None),
        ("FROM a AS b", "a", Some("b"), None),
        ("FROM a aS Build-1.x_", "a", Some("build-1.x_"), None),
        (
            "from --platform=$BUILDPLATFORM a:1@sha256:0 as b",
            "a:1@sha256:0",
            Some("b"),
            Some("$BUILDPLATFORM"),
        ),
        ("FROM --platform= a", "a", None, None),
        ("FROM ${IMAGE:-a}", "${IMAGE:-a}", None, None),
        ("FROM\ta\tAS\tb", "a", Some("b"), None),
    ];
    for (source, image, name, platform) in cases {
        let parsed = parse(source.as_bytes());
        assert_eq!(parsed.diagnostics, [], "{source}");
        let from = &parsed.dockerfile.stages[0].from;
        assert_eq!(from.image.value, image, "{source}");
        assert_eq!(from.name.as_ref().map(|name| name.value.as_str()), name, "{source}");
        assert_eq!(from.platform.as_ref().map(|word| word.value.as_str()), platform, "{source}");
    }
}

#[test]
fn from_mistakes() {
    let count = "FROM requires either one or three arguments";
    let name = |name: &str| {
        format!("invalid name for build stage: {name:?}, name can't start with a number or contain symbols")
    };
    let cases = [
        ("FROM", count.to_owned()),
        ("FROM a b", count.to_owned()),
        ("FROM a b c", count.to_owned()),
        ("FROM a AS b c", count.to_owned()),
        ("FROM a AS 1b", name("1b")),
        ("FROM a AS b$", name("b$")),
        ("FROM a AS -b", name("-b")),
        ("FROM --plattform=x a", "unknown flag: --plattform".to_owned()),
        ("FROM --platform a", "missing a value on flag: --platform".to_owned()),
    ];
    for (source, message) in cases {
        // What follows a broken FROM is no mistake.
        assert_eq!(errors(&format!("{source}\nRUN x\n")), [message], "{source}");
    }
}

#[test]
fn arguments_before_the_first_from_are_global() {
    let parsed = parse(b"ARG A=1 B\n# B about\nARG C=\"x y\"\nFROM a\nARG D\n");
    assert_eq!(parsed.diagnostics, []);
    let file = parsed.dockerfile;
    assert_eq!(file.global_args.len(), 2);
    assert_eq!(file.global_args[0].items.len(), 2);
    assert_eq!(file.global_args[1].comments, ["B about"]);
    assert!(matches!(&file.stages[0].instructions[0].kind, Kind::Arg(items) if items[0].name.value == "D"));
}

#[test]
fn comments_above() {
    let comments = |source: &str| parse(source.as_bytes()).dockerfile.stages[0].from.comments.clone();
    assert_eq!(comments("# one\n#two\nFROM a"), ["one", "two"]);
    assert_eq!(comments("# one\n#\n  # two\nFROM a"), ["two"]);
    assert_eq!(comments("# escape=`\n# one\nFROM a"), ["one"]);
    assert_eq!(comments("# one\nARG A\nFROM a"), [] as [&str; 0]);
    assert_eq!(comments("# one\n \nFROM a"), [] as [&str; 0]);
    assert_eq!(comments("# one\n\n# two\nFROM a"), ["two"]);
}

#[test]
fn arg() {
    let items = |body: &str| match one(body) {
        Kind::Arg(items) => items
            .into_iter()
            .map(|item| (item.name.value, item.default.map(|word| word.value)))
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(items("ARG A"), [("A".to_owned(), None)]);
    assert_eq!(items("ARG A="), [("A".to_owned(), text(""))]);
    assert_eq!(
        items("ARG A=\"b c\" D=e=f G"),
        [("A".to_owned(), text("\"b c\"")), ("D".to_owned(), text("e=f")), ("G".to_owned(), None)]
    );
    assert_eq!(items("ARG A=b\\ c"), [("A".to_owned(), text("b\\ c"))]);
    assert_eq!(items("ARG --x A"), [("A".to_owned(), None)], "flags are ignored");
    assert_eq!(errors_in("ARG"), ["ARG requires at least one argument"]);
    assert_eq!(errors_in("ARG =x"), ["ARG names can not be blank"]);
}

#[test]
fn env_and_label() {
    type Pair = (&'static str, &'static str, bool);
    let cases: &[(&str, &[Pair])] = &[
        ("a=b", &[("a", "b", false)]),
        ("a=b c=d", &[("a", "b", false), ("c", "d", false)]),
        ("a=\"b c\" 'd e'=f", &[("a", "\"b c\"", false), ("'d e'", "f", false)]),
        ("a=b\\ c", &[("a", "b\\ c", false)]),
        ("a=", &[("a", "", false)]),
        ("a=b=c", &[("a", "b=c", false)]),
        ("a=%s%d", &[("a", "%s%d", false)]),
        ("a=$b", &[("a", "$b", false)]),
        ("a b", &[("a", "b", true)]),
        ("a   b  \"c\"  d=e ", &[("a", "b  \"c\"  d=e", true)]),
        ("a \\\n  b", &[("a", "b", true)]),
        ("a=1 \\\n  b=2", &[("a", "1", false), ("b", "2", false)]),
        ("a=x\\\ny", &[("a", "xy", false)]),
        ("[\"a\"]=b", &[("[\"a\"]", "b", false)]),
    ];
    for keyword in ["ENV", "LABEL"] {
        for (arguments, expected) in cases {
            let (Kind::Env(pairs) | Kind::Label(pairs)) = one(&format!("{keyword} {arguments}")) else {
                panic!("{keyword} {arguments:?}");
            };
            let found: Vec<(&str, &str, bool)> =
                pairs.iter().map(|p| (p.key.value.as_str(), p.value.value.as_str(), p.legacy)).collect();
            assert_eq!(&found, expected, "{keyword} {arguments:?}");
        }
        let mistakes = [
            ("", "requires at least one argument"),
            (" a", "must have two arguments"),
            (" =a", "names can not be blank"),
            (" a=b =c", "names can not be blank"),
        ];
        for (arguments, message) in mistakes {
            assert_eq!(errors_in(&format!("{keyword}{arguments}")), [format!("{keyword} {message}")]);
        }
        let message = "Syntax error - can't find = in \"b\". Must be of the form: name=value";
        assert_eq!(errors_in(&format!("{keyword} a=1 b")), [message]);
        assert_eq!(errors_in(&format!("{keyword} --x a=1")), ["unknown flag: --x"]);
    }
    let message = "Syntax error - can't find = in \"it}\". Must be of the form: name=value";
    assert_eq!(errors_in("ENV A=${U:?need it}"), [message]);
}

#[test]
fn json_and_shell_forms() {
    let cases = [
        ("RUN a b", shell("a b")),
        ("RUN [\"a\", \"b c\"]", exec(&["a", "b c"])),
        ("RUN   [ \"a\" ] ", exec(&["a"])),
        ("RUN [\"a\"]b", shell("[\"a\"]b")),
        ("RUN [\"a\"] # c", shell("[\"a\"] # c")),
        ("RUN [\"a\",]", shell("[\"a\",]")),
        ("RUN ['a']", shell("['a']")),
        ("RUN [ -f x ]", shell("[ -f x ]")),
        ("RUN []", exec(&[])),
        ("RUN", shell("")),
        ("RUN echo \"a  b\"  c ", shell("echo \"a  b\"  c")),
        ("RUN a \\\n  && b", shell("a   && b")),
        ("RUN a \\\n# c\n  && b", shell("a   && b")),
        ("RUN echo \\$x '$y' \\\\", shell("echo \\$x '$y' \\\\")),
        ("RUN -- --a", shell("--a")),
    ];
    for (body, expected) in cases {
        assert_eq!(run(body), expected, "{body:?}");
    }
    let message = "when using JSON array syntax, arrays must be comprised of strings only";
    for body in [
        "RUN [1]",
        "CMD [\"a\", [\"b\"]]",
        "ENTRYPOINT [null]",
        "COPY [1, \"b\"]",
        "VOLUME [{}]",
        "SHELL [1]",
    ] {
        assert_eq!(errors_in(body), [message], "{body}");
    }
}

#[test]
fn cmd_entrypoint_and_shell() {
    assert_eq!(one("CMD a b"), Kind::Cmd(Command::Shell("a b".to_owned())));
    assert_eq!(one("CMD"), Kind::Cmd(Command::Shell(String::new())));
    assert_eq!(one("CMD []"), Kind::Cmd(Command::Exec(vec![])));
    assert_eq!(one("ENTRYPOINT [\"a\"]"), Kind::Entrypoint(Command::Exec(vec!["a".to_owned()])));
    assert_eq!(one("ENTRYPOINT a <<EOF"), Kind::Entrypoint(Command::Shell("a <<EOF".to_owned())));
    assert_eq!(
        one("SHELL [\"/bin/bash\", \"-c\"]"),
        Kind::Shell(vec!["/bin/bash".to_owned(), "-c".to_owned()])
    );
    assert_eq!(errors_in("SHELL"), ["SHELL requires at least one argument"]);
    assert_eq!(errors_in("SHELL []"), ["SHELL requires at least one argument"]);
    assert_eq!(errors_in("SHELL /bin/sh -c"), ["SHELL requires the arguments to be in JSON form"]);
    assert_eq!(errors_in("CMD --x a"), ["unknown flag: --x"]);
}

#[test]
fn whole_line_arguments() {
    let value = |body: &str| match one(body) {
        Kind::User(word) | Kind::Workdir(word) | Kind::Stopsignal(word) | Kind::Maintainer(word) => {
            word.value
        }
        other => panic!("{other:?}"),
    };
    for keyword in ["USER", "WORKDIR", "STOPSIGNAL", "MAINTAINER"] {
        for (arguments, expected) in
            [("a", "a"), ("a b", "a b"), ("  \"a  b\" ", "\"a  b\""), ("[\"x\"]", "[\"x\"]")]
        {
            assert_eq!(value(&format!("{keyword} {arguments}")), expected);
        }
        assert_eq!(errors_in(keyword), [format!("{keyword} requires exactly one argument")]);
    }
    assert_eq!(errors_in("USER --x a"), ["unknown flag: --x"]);
    assert_eq!(value("STOPSIGNAL --x 9"), "9", "STOPSIGNAL ignores its flags");
}

#[test]
fn expose_and_volume() {
    let words = |body: &str| match one(body) {
        Kind::Expose(words) | Kind::Volume(words) => {
            words.into_iter().map(|word| word.value).collect::<Vec<String>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(words("EXPOSE 80  443/tcp\t$P"), ["80", "443/tcp", "$P"]);
    assert_eq!(words("EXPOSE [\"80\"]"), ["[\"80\"]"], "EXPOSE has no JSON form");
    assert_eq!(words("VOLUME /a /b"), ["/a", "/b"]);
    assert_eq!(words("VOLUME [\"/a b\", \" /c \"]"), ["/a b", "/c"]);
    assert_eq!(errors_in("EXPOSE"), ["EXPOSE requires at least one argument"]);
    assert_eq!(errors_in("VOLUME"), ["VOLUME requires at least one argument"]);
    assert_eq!(errors_in("VOLUME []"), ["VOLUME requires at least one argument"]);
    assert_eq!(errors_in("VOLUME [\"\"]"), ["VOLUME specified can not be an empty string"]);
}

#[test]
fn healthcheck() {
    const MS: i64 = 1_000_000;
    let check = |command: Command, interval: i64, retries: i64| {
        Kind::Healthcheck(Healthcheck::Check {
            command,
            interval,
            timeout: 0,
            start_period: 0,
            start_interval: 0,
            retries,
        })
    };
    let shell = |text: &str| Command::Shell(text.to_owned());
    assert_eq!(one("HEALTHCHECK NONE"), Kind::Healthcheck(Healthcheck::None));
    assert_eq!(one("HEALTHCHECK --nonsense none"), Kind::Healthcheck(Healthcheck::None));
    assert_eq!(one("HEALTHCHECK CMD a b"), check(shell("a b"), 0, 0));
    assert_eq!(one("HEALTHCHECK cmd [\"a\"]"), check(Command::Exec(vec!["a".to_owned()]), 0, 0));
    assert_eq!(one("HEALTHCHECK --interval=1ms --retries=3 CMD a"), check(shell("a"), MS, 3));
    assert_eq!(one("HEALTHCHECK --interval=0s --retries=0 CMD a"), check(shell("a"), 0, 0));
    assert_eq!(one("HEALTHCHECK --interval= CMD a"), check(shell("a"), 0, 0));
    let all = "HEALTHCHECK --interval=1s --timeout=2s --start-period=3s --start-interval=4s CMD a";
    assert!(matches!(
        one(all),
        Kind::Healthcheck(Healthcheck::Check {
            timeout: 2_000_000_000,
            start_period: 3_000_000_000,
            start_interval: 4_000_000_000,
            ..
        })
    ));
    let cases = [
        ("", "HEALTHCHECK requires at least one argument"),
        (" CMD", "Missing command after HEALTHCHECK CMD"),
        (" CMD []", "Missing command after HEALTHCHECK CMD"),
        (" NONE a", "HEALTHCHECK NONE takes no arguments"),
        (" curl x", "Unknown type \"CURL\" in HEALTHCHECK (try CMD)"),
        (" --intervall=1s CMD a", "unknown flag: --intervall"),
        (" --interval=1 CMD a", "time: missing unit in duration \"1\""),
        (" --interval=999us CMD a", "Interval \"interval\" cannot be less than 1ms"),
        (" --timeout=-1s CMD a", "Interval \"timeout\" cannot be less than 1ms"),
        (" --retries=-1 CMD a", "--retries cannot be negative (-1)"),
        (" --retries=x CMD a", "--retries \"x\": invalid syntax"),
        (" --retries=3000000000 CMD a", "--retries \"3000000000\": value out of range"),
        (" --retries=1 --retries=2 CMD a", "duplicate flag specified: --retries"),
    ];
    for (arguments, message) in cases {
        assert_eq!(errors_in(&format!("HEALTHCHECK{arguments}")), [message], "{arguments}");
    }
}

#[test]
fn copy_and_add_words() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("COPY a /b", &["a"], "/b"),
        ("COPY a b  c/ ", &["a", "b"], "c/"),
        ("COPY [\"a b\", \"/c\"]", &["a b"], "/c"),
        ("COPY a\\ b /x", &["a\\", "b"], "/x"),
        ("COPY \"a b\" /x", &["\"a", "b\""], "/x"),
        ("COPY [a] /x", &["[a]"], "/x"),
        ("ADD https://x/y.tar /z", &["https://x/y.tar"], "/z"),
        ("COPY a \\\n  b \\\n  /c", &["a", "b"], "/c"),
    ];
    for (body, sources, destination) in cases {
        let common = copy(body);
        assert_eq!(values(&common.sources), *sources, "{body}");
        assert_eq!(common.destination.value, *destination, "{body}");
    }
    for keyword in ["COPY", "ADD"] {
        let message = format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        );
        for arguments in ["", " a", " []", " [\"a\"]", " --chown=1 a"] {
            assert_eq!(errors_in(&format!("{keyword}{arguments}")), [message.as_str()], "{arguments}");
        }
    }
}

#[test]
fn copy_and_add_flags() {
    let Kind::Copy(found) = one(
        "COPY --from=b --chown=u:g --chmod=0755 --link --parents=TRUE --exclude=*.a --exclude=\"*.b c\" a b",
    ) else {
        panic!()
    };
    let text = |word: &Option<Word>| word.as_ref().map(|word| word.value.clone());
    assert_eq!(text(&found.from).as_deref(), Some("b"));
    assert_eq!(text(&found.common.chown).as_deref(), Some("u:g"));
    assert_eq!(text(&found.common.chmod).as_deref(), Some("0755"));
    assert!(found.common.link && found.parents);
    assert_eq!(values(&found.common.excludes), ["*.a", "*.b c"]);
    let Kind::Add(found) =
        one("ADD --checksum=sha256:0 --keep-git-dir --unpack=false --link=false --chown=$U a b")
    else {
        panic!()
    };
    assert_eq!(text(&found.checksum).as_deref(), Some("sha256:0"));
    assert_eq!((found.keep_git_dir, found.unpack, found.common.link), (Some(true), Some(false), false));
    assert_eq!(text(&found.common.chown).as_deref(), Some("$U"));
    assert!(
        matches!(one("COPY --from=$X a b"), Kind::Copy(copy) if copy.from.as_ref().is_some_and(|f| f.value == "$X")),
        "beyond BuildKit: the planner expands it"
    );
    assert!(matches!(one("COPY --from= a b"), Kind::Copy(copy) if copy.from.is_none()), "the build context");
    let cases = [
        ("COPY --link= a b", "missing a value on flag: --link"),
        ("COPY --link=$X a b", "expecting boolean value for flag --link, not: $X"),
        ("COPY --link=1 a b", "expecting boolean value for flag --link, not: 1"),
        ("COPY --from a b", "missing a value on flag: --from"),
        ("COPY --chown=1 --chown=2 a b", "duplicate flag specified: --chown"),
        ("COPY --form=x a b", "unknown flag: --form"),
        ("COPY --checksum=x a b", "unknown flag: --checksum"),
        ("ADD --from=x a b", "unknown flag: --from"),
        ("ADD --parents a b", "unknown flag: --parents"),
    ];
    for (body, message) in cases {
        assert_eq!(errors_in(body), [message], "{body}");
    }
}

#[test]
fn heredocs_of_run() {
    let script = |name: &str, body: &str| RunCommand::Script { name: name.to_owned(), body: body.to_owned() };
    let cases = [
        ("RUN <<EOF\nEOF", shell("")),
        ("RUN <<EOF\na\n  b\nEOF", shell("a\n  b\n")),
        ("RUN 3<<EOF\na\nEOF", shell("a\n")),
        ("RUN <<-EOF\n\ta\n\t\tb\n c\n\tEOF", shell("a\nb\n c\n")),
        ("RUN <<EOF\n# kept \\\n$x \\$y\nEOF", shell("# kept \\\n$x \\$y\n")),
        ("RUN << EOF\na\nEOF", shell("a\n")),
        ("RUN <<'one two'\na\none two", shell("a\n")),
        ("RUN --network=none <<EOF\na\nEOF", shell("a\n")),
        ("RUN <<EOF\n#!/bin/x\na\nEOF", script("EOF", "#!/bin/x\na\n")),
        ("RUN <<-EOF\n\t#!/bin/x\n\ta\n\tEOF", script("EOF", "#!/bin/x\na\n")),
        ("RUN <<EOF\n #!/bin/x\nEOF", shell(" #!/bin/x\n")),
        ("RUN <<EOF cmd\n#!/bin/x\nEOF", shell("<<EOF cmd\n#!/bin/x\nEOF")),
        ("RUN cat <<EOF > x\na\nEOF", shell("cat <<EOF > x\na\nEOF")),
        ("RUN cat <<-A | cat <<B\n\ta\n\tA\nb\nB", shell("cat <<-A | cat <<B\n\ta\nA\nb\nB")),
        ("RUN 3<<X cmd\na\nX", shell("3<<X cmd\na\nX")),
        ("RUN <<A <<B\na\nA\nb\nB", shell("<<A <<B\na\nA\nb\nB")),
        ("RUN a && \\\n  cat <<E\nx\nE", shell("a &&   cat <<E\nx\nE")),
        ("RUN \"<<EOF\"", shell("\"<<EOF\"")),
        ("RUN [\"<<EOF\"]", exec(&["<<EOF"])),
        ("RUN cat <<<x", shell("cat <<<x")),
        ("RUN echo $((1<<2))", shell("echo $((1<<2))")),
        ("RUN <<EOF\na\r\nEOF\r\n", shell("a\r\n")),
        ("RUN <<EOF\nEOF \n EOF\nEOF", shell("EOF \n EOF\n")),
    ];
    for (body, expected) in cases {
        assert_eq!(run(body), expected, "{body:?}");
    }
    for body in [
        "RUN <<EOF\na",
        "RUN <<EOF\na\n EOF",
        "RUN cat <<B; x\nB\n",
        "RUN <<A <<B\nA\n",
        "RUN echo $((1 << 2))",
    ] {
        assert_eq!(errors_in(body), ["unterminated heredoc"], "{body:?}");
    }
    // What follows is a new instruction.
    assert_eq!(errors_in("RUN if x; then cat <<B\nb\nB\nfi\n"), ["unknown instruction: fi"]);
}

#[test]
fn heredocs_of_copy() {
    let found = |body: &str| {
        let common = copy(body);
        let heredocs: Vec<(String, String, bool)> =
            common.heredocs.iter().map(|h| (h.name.clone(), h.body.clone(), h.expand)).collect();
        let sources: Vec<String> = common.sources.iter().map(|word| word.value.clone()).collect();
        (sources, heredocs, common.destination.value)
    };
    let heredoc = |name: &str, body: &str, expand: bool| (name.to_owned(), body.to_owned(), expand);
    let none: Vec<String> = vec![];
    assert_eq!(
        found("COPY <<EOF /d\na\nEOF"),
        (none.clone(), vec![heredoc("EOF", "a\n", true)], "/d".into())
    );
    assert_eq!(
        found("COPY <<'EOF' /d\n$a\nEOF"),
        (none.clone(), vec![heredoc("EOF", "$a\n", false)], "/d".into())
    );
    assert_eq!(
        found("COPY <<-f.txt /d\n\ta\n\tf.txt"),
        (none.clone(), vec![heredoc("f.txt", "a\n", true)], "/d".into())
    );
    assert_eq!(
        found("COPY x <<X y <<Y /d\nY\nX\nX\nY"),
        (
            vec!["x".into(), "y".into()],
            vec![heredoc("X", "Y\n", true), heredoc("Y", "X\n", true)],
            "/d".into()
        )
    );
    assert_eq!(found("ADD 3<<EOF /d\nEOF"), (none.clone(), vec![heredoc("EOF", "", true)], "/d".into()));
    assert_eq!(found("COPY <<\"a b\" /d\nx\na b"), (none, vec![heredoc("a b", "x\n", false)], "/d".into()));
    assert_eq!(copy("COPY [\"<<EOF\", \"/d\"]").heredocs, []);
    let message = "COPY cannot accept a heredoc as a destination";
    assert_eq!(errors_in("COPY a <<EOF\nEOF"), [message]);
    assert_eq!(errors_in("COPY <<A <<B\nA\nB"), [message]);
}

#[test]
fn heredocs_elsewhere_are_words() {
    assert!(matches!(one("USER <<EOF"), Kind::User(word) if word.value == "<<EOF"));
}

#[test]
fn onbuild() {
    let trigger = |body: &str| match one(body) {
        Kind::Onbuild(onbuild) => onbuild.trigger.value,
        other => panic!("{other:?}"),
    };
    assert_eq!(trigger("ONBUILD run  A  b "), "run  A  b");
    assert_eq!(trigger("ONBUILD RUN a \\\n  b"), "RUN a   b");
    assert_eq!(trigger("ONBUILD FOO x"), "FOO x", "checked in the child build");
    assert_eq!(trigger("ONBUILD RUN <<-E cat\n\tx\n\tE"), "RUN <<-E cat\n\tx\nE");
    assert_eq!(
        trigger("ONBUILD COPY --chown=1 <<A <<B /d\na\nA\nb\nB"),
        "COPY --chown=1 <<A <<B /d\na\nA\nb\nB"
    );
    assert_eq!(trigger("ONBUILD RUN [\"<<A\"]"), "RUN [\"<<A\"]");
    assert_eq!(errors_in("ONBUILD"), ["ONBUILD requires at least one argument"]);
    assert_eq!(errors_in("ONBUILD onbuild RUN x"), ["Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"]);
    assert_eq!(errors_in("ONBUILD from x"), ["FROM isn't allowed as an ONBUILD trigger"]);
    assert_eq!(errors_in("ONBUILD MAINTAINER x"), ["MAINTAINER isn't allowed as an ONBUILD trigger"]);
}

#[test]
fn stored_triggers() {
    let (kind, text) = parse_onbuild("RUN <<E\na\nE").unwrap();
    assert_eq!(text, "RUN <<E");
    assert!(matches!(kind, Kind::Run(run) if run.command == shell("a\n")));
    let (kind, _) = parse_onbuild("ARG X=1").unwrap();
    assert!(matches!(kind, Kind::Arg(_)));
    let cases = [
        ("", "onbuild trigger should be a single expression"),
        ("RUN a\nRUN b", "onbuild trigger should be a single expression"),
        ("FROM a", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD RUN a", "ONBUILD isn't allowed as an ONBUILD trigger"),
        ("FOO x", "unknown instruction: FOO"),
        ("RUN <<E\na", "unterminated heredoc"),
    ];
    for (trigger, message) in cases {
        assert_eq!(parse_onbuild(trigger).unwrap_err().message, message, "{trigger:?}");
    }
}

#[test]
fn run_flags() {
    let Kind::Run(found) = one(
        "RUN --mount=type=cache,target=/a --network=none --mount='type=bind,\"target=/b,c\"' --security=insecure \
         --device=x x --y",
    ) else {
        panic!()
    };
    assert_eq!(values(&found.mounts), ["type=cache,target=/a", "type=bind,\"target=/b,c\""]);
    assert_eq!(found.network.map(|word| word.value).as_deref(), Some("none"));
    assert_eq!(found.security.map(|word| word.value).as_deref(), Some("insecure"));
    assert_eq!(values(&found.devices), ["x"]);
    assert_eq!(found.command, shell("x --y"));
    let cases = [
        ("RUN --mont=type=cache x", "unknown flag: --mont"),
        ("RUN --mount x", "missing a value on flag: --mount"),
        ("RUN --mount=a\\\"b x", "failed to parse csv mounts: bare \" in non-quoted-field"),
        ("RUN --network=hots x", "invalid network mode: \"hots\""),
        ("RUN --network=$x x", "invalid network mode: \"$x\""),
        ("RUN --security=x x", "security \"x\" is not valid"),
        ("RUN --network=none --network=host x", "duplicate flag specified: --network"),
    ];
    for (body, message) in cases {
        assert_eq!(errors_in(body), [message], "{body}");
    }
}

#[test]
fn the_escape_directive_rules_continuations_and_words() {
    let parsed = parse(b"# escape=`\nFROM a\nCOPY a `\n  C:\\x\nENV A=b` c\nRUN <<E\nx `\nE\n");
    assert_eq!(parsed.diagnostics, []);
    let instructions = &parsed.dockerfile.stages[0].instructions;
    assert!(matches!(&instructions[0].kind, Kind::Copy(copy) if copy.common.destination.value == "C:\\x"));
    assert!(matches!(&instructions[1].kind, Kind::Env(pairs) if pairs[0].value.value == "b` c"));
    assert!(matches!(&instructions[2].kind, Kind::Run(run) if run.command == shell("x `\n")));
}

#[test]
fn limits() {
    let line = |length: usize| format!("FROM a\nRUN {}", "x".repeat(length - 4));
    assert_eq!(errors(&line(65_535)), [] as [&str; 0]);
    assert_eq!(errors(&line(65_536)), ["dockerfile line greater than max allowed size of 65535"]);
    let many = parse("X\n".repeat(100_000).as_bytes()).diagnostics;
    assert_eq!(many.len(), 1001);
    let huge = vec![b'#'; (16 << 20) + 1];
    assert_eq!(parse(&huge).diagnostics[0].code, "too-large");
}

#[test]
fn bytes_that_are_not_utf8() {
    let parsed = parse(b"# caf\xe9\nFROM a\nRUN x \\\n# \xe9\n y\n");
    assert_eq!(parsed.diagnostics, [], "comments may hold anything");
    let parsed = parse(b"FROM a\nRUN caf\xe9\nCOPY <<E /x\n\xff\nE\n");
    let places: Vec<Span> = parsed.diagnostics.iter().map(|d| d.span).collect();
    assert_eq!(places, [Span { start: 14, end: 15 }, Span { start: 28, end: 29 }]);
    assert!(parsed.diagnostics.iter().all(|d| d.code == "invalid-utf8"));
}

#[test]
fn empty_lines_in_continuations_are_remembered() {
    let source = "FROM a\nRUN x \\\n\n\n  y \\\n z\n";
    let parsed = parse(source.as_bytes());
    assert_eq!(parsed.diagnostics, [], "a check says so, not the parser");
    let line = parsed.dockerfile.stages[0].instructions[0].empty_line.unwrap();
    assert_eq!(line.span, Span { start: 15, end: 15 });
    assert_eq!(&source[line.last.start..line.last.end], " z");
    assert_eq!(parse(b"FROM a\nRUN x \\\n y").dockerfile.stages[0].instructions[0].empty_line, None);
}
