//! Whole small files: what they come to, and how their mistakes are reported, as text that a reviewer can read.

use std::fmt::Write as _;

use jettison_dockerfile::source::LineIndex;
use jettison_dockerfile::{Kind, Span, parse};

/// Findings as `line:column severity code: message`, with hint and the text that is pointed at.
fn findings(source: &str) -> Result<String, std::fmt::Error> {
    let index = LineIndex::new(source);
    let mut text = String::new();
    for d in parse(source.as_bytes()).diagnostics {
        let (line, column) = index.position(d.span.start);
        let severity = if d.is_error() { "error" } else { "warning" };
        write!(text, "{line}:{column} {severity} {}: {}", d.code, d.message)?;
        if let Some(hint) = d.hint {
            write!(text, "\n    hint: {hint}")?;
        }
        writeln!(text, "\n    at {:?}", &source[d.span.start..d.span.end])?;
    }
    Ok(text)
}

/// Stages and instructions, one a line, with the lines that they take.
fn outline(source: &str) -> Result<String, std::fmt::Error> {
    let index = LineIndex::new(source);
    let lines = |span: Span| {
        let (first, last) = (index.position(span.start).0, index.position(span.end).0);
        if first == last { format!("{first}") } else { format!("{first}-{last}") }
    };
    let parsed = parse(source.as_bytes());
    assert_eq!(parsed.diagnostics, []);
    let mut text = String::new();
    for arg in parsed.dockerfile.global_args {
        writeln!(text, "global {} {:?} {:?}", lines(arg.span), arg.items[0].name.value, arg.comments)?;
    }
    for stage in parsed.dockerfile.stages {
        let from = stage.from;
        let name = from.name.map(|name| name.value).unwrap_or_default();
        let image = from.image.value;
        writeln!(text, "stage {} {image:?} as {name:?} {:?}", lines(from.span), from.comments)?;
        for instruction in stage.instructions {
            write!(text, "  {} {}", lines(instruction.span), instruction.kind.keyword())?;
            match &instruction.kind {
                Kind::Run(run) => writeln!(text, " {:?}", run.command),
                Kind::Copy(copy) => {
                    let sources: Vec<&str> =
                        copy.common.sources.iter().map(|word| word.value.as_str()).collect();
                    let heredocs: Vec<&str> = copy.common.heredocs.iter().map(|h| h.name.as_str()).collect();
                    writeln!(text, " {sources:?} {heredocs:?} -> {:?}", copy.common.destination.value)
                }
                _ => writeln!(text, " {:?}", instruction.text),
            }?;
        }
    }
    Ok(text)
}

#[test]
fn a_usual_file() {
    let source = r#"# syntax=docker/dockerfile:1
# GO which Go
ARG GO=1.25

# build does the work
FROM --platform=$BUILDPLATFORM golang:${GO} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg \
    # modules first
    go mod download
COPY . .
RUN <<EOF
set -e
go build -o /app .
EOF

FROM scratch
COPY --from=build /app /app
COPY <<motd <<'raw' /etc/
hello $USER
motd
$5
raw
ENTRYPOINT ["/app"]
"#;
    insta::assert_snapshot!(outline(source).unwrap(), @r#"
    global 3 "GO" ["GO which Go"]
    stage 6 "golang:${GO}" as "build" ["build does the work"]
      7 WORKDIR "WORKDIR /src"
      8 COPY ["go.mod", "go.sum"] [] -> "./"
      9-11 RUN Shell("go mod download")
      12 COPY ["."] [] -> "."
      13-16 RUN Shell("set -e\ngo build -o /app .\n")
    stage 18 "scratch" as "" []
      19 COPY ["/app"] [] -> "/app"
      20-24 COPY [] ["motd", "raw"] -> "/etc/"
      25 ENTRYPOINT "ENTRYPOINT [\"/app\"]"
    "#);
}

#[test]
fn every_mistake_is_reported() {
    let source = r#"FROM alpine AS 1st
RNU apk add x
RUN --mont=type=cache,target=/x true
COPY --form=build a b
COPY --lnk a b
ENV A=1 B
apt-get install y
EXPOSE
RUN --network=hots x
FROM alpine
RUN é \

  y
COPY --link=$X a b
CMD ["a", 1]
ONBUILD ONBUILD RUN x
HEALTHCHECK --interval=1 --retries=-1 CMD x
RUN cat <<END
never
"#;
    insta::assert_snapshot!(findings(source).unwrap(), @r#"
    1:16 error stage-name: invalid name for build stage: "1st", name can't start with a number or contain symbols
        at "1st"
    2:1 error unknown-instruction: unknown instruction: RNU
        hint: did you mean RUN?
        at "RNU"
    3:5 error unknown-flag: unknown flag: --mont
        hint: did you mean --mount?
        at "--mont"
    4:6 error unknown-flag: unknown flag: --form
        hint: did you mean --from?
        at "--form"
    5:6 error unknown-flag: unknown flag: --lnk
        hint: did you mean --link?
        at "--lnk"
    6:9 error key-value: Syntax error - can't find = in "B". Must be of the form: name=value
        at "B"
    7:1 error unknown-instruction: unknown instruction: apt-get
        hint: if this belongs to the line above, that line must end in \
        at "apt-get"
    8:1 error arguments: EXPOSE requires at least one argument
        at "EXPOSE"
    9:15 error flag-value: invalid network mode: "hots"
        hint: did you mean host?
        at "hots"
    14:13 error flag-value: expecting boolean value for flag --link, not: $X
        at "$X"
    15:5 error json: when using JSON array syntax, arrays must be comprised of strings only
        at "[\"a\", 1]"
    16:9 error onbuild: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed
        at "ONBUILD"
    17:24 error flag-value: time: missing unit in duration "1"
        at "1"
    17:36 error flag-value: --retries cannot be negative (-1)
        at "-1"
    18:9 error unterminated-heredoc: unterminated heredoc
        hint: no line consists of "END" alone
        at "<<END"
    "#);
}

#[test]
fn directives_gone_wrong() {
    insta::assert_snapshot!(findings("# escape=x\n# escape=`\nFROM a\n").unwrap(), @r##"
    1:10 error invalid-escape: invalid escape token 'x' does not match ` or \
        at "x"
    2:1 error duplicate-directive: only one escape parser directive can be used
        at "# escape=`"
    "##);
    insta::assert_snapshot!(findings("# sintax=docker/dockerfile:1\nFROM a\n").unwrap(), @r##"
    1:1 warning unknown-directive: unknown parser directive: sintax
        hint: did you mean syntax?
        at "# sintax=docker/dockerfile:1"
    "##);
}

#[test]
fn a_whole_instruction() {
    let source = "FROM a\nCOPY --chown=\"u g\" a \\\n  # c\n  <<E b/\nx\nE\n";
    insta::assert_debug_snapshot!(parse(source.as_bytes()).dockerfile.stages[0].instructions[0], @r#"
    Instruction {
        kind: Copy(
            Copy {
                from: None,
                common: CopyCommon {
                    sources: [
                        Spanned {
                            value: "a",
                            span: Span {
                                start: 26,
                                end: 27,
                            },
                        },
                    ],
                    heredocs: [
                        Heredoc {
                            name: "E",
                            body: "x\n",
                            expand: true,
                            span: Span {
                                start: 38,
                                end: 41,
                            },
                            line_starts: [
                                45,
                            ],
                        },
                    ],
                    destination: Spanned {
                        value: "b/",
                        span: Span {
                            start: 42,
                            end: 44,
                        },
                    },
                    chown: Some(
                        Spanned {
                            value: "u g",
                            span: Span {
                                start: 20,
                                end: 25,
                            },
                        },
                    ),
                    chmod: None,
                    link: false,
                    excludes: [],
                },
                parents: false,
            },
        ),
        span: Span {
            start: 7,
            end: 48,
        },
        keyword: Span {
            start: 7,
            end: 11,
        },
        text: "COPY --chown=\"u g\" a   <<E b/",
        comments: [],
        empty_line: None,
    }
    "#);
}
