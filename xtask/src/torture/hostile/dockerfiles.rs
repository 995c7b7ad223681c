//! Dockerfiles and ignore files that are huge, deep, or no text at all.

use anyhow::Result;

use super::{Case, Maker, Place};

pub const CASES: &[Maker] = &[
    ("Dockerfile: 10 MB in one instruction", |p| {
        let text = format!("FROM scratch\nLABEL a=\"{}\"\n", "x".repeat(p.much(10 << 20)));
        Ok(Case::refused(p.build(text)?, "Dockerfile:2"))
    }),
    ("Dockerfile: 10 MB of comments", |p| {
        Ok(Case::works(
            p.build(format!("{}FROM scratch\nLABEL a=b\n", "# comment\n".repeat(p.much(1 << 20))))?,
        ))
    }),
    ("Dockerfile: 10 MB of instructions", |p| {
        let text = format!("FROM scratch\n{}", "LABEL a=b\n".repeat(1 << 20));
        Ok(Case::refused(p.build(text)?, "more than 100000 instructions"))
    }),
    ("Dockerfile: 10 MB of continued lines", |p| {
        Ok(Case::works(p.build(format!("FROM scratch\nLABEL a=b {}c=d\n", "\\\n".repeat(p.much(5 << 20))))?))
    }),
    ("Dockerfile: 10 MB of mistakes", |p| {
        Ok(Case::refused(
            p.build(format!("FROM scratch\n{}", "NONSENSE a b\n".repeat(p.much(700_000))))?,
            "NONSENSE",
        ))
    }),
    ("Dockerfile: 10 MB in a RUN", |p| {
        Ok(Case::refused(
            p.build(format!("FROM base0\nRUN echo {}\n", "x".repeat(p.much(10 << 20))))?,
            "Dockerfile:2",
        ))
    }),
    ("Dockerfile: 10 MB in a heredoc", |p| {
        let text = format!("FROM scratch\nCOPY <<EOF /f\n{}EOF\n", "line of text\n".repeat(p.much(800_000)));
        Ok(Case::works(p.build(text)?))
    }),
    ("Dockerfile: larger than the limit", |p| {
        Ok(Case::refused(p.build(format!("FROM scratch\n#{}\n", "x".repeat(17 << 20)))?, "Dockerfile"))
    }),
    ("Dockerfile: stages one upon the other", |p| {
        let mut text = "FROM scratch AS s0\n".to_owned();
        for number in 1..p.much(5000) {
            text.push_str(&format!("FROM s{} AS s{number}\nLABEL l{number}=v\n", number - 1));
        }
        Ok(Case::works(p.build(text)?))
    }),
    ("Dockerfile: stages side by side", |p| {
        let mut text = String::new();
        for number in 0..p.much(5000) {
            text.push_str(&format!("FROM scratch AS s{number}\nCOPY a /\n"));
        }
        p.write("context/a", "x")?;
        Ok(Case::works(p.build(text)?))
    }),
    ("Dockerfile: a ring of stages", |p| {
        let text = "FROM scratch AS a\nCOPY --from=b /x /x\nFROM scratch AS b\nCOPY --from=a /x /x\n";
        Ok(Case::refused(p.build(text)?, "Dockerfile:"))
    }),
    ("Dockerfile: a value that doubles", |p| {
        let text = format!("FROM scratch\nENV A=aaaaaaaaaaaaaaaa\n{}", "ENV A=$A$A\n".repeat(60));
        Ok(Case::refused(p.build(text)?, "Dockerfile:"))
    }),
    ("Dockerfile: an expansion that is deep", |p| {
        let deep = "${A:-".repeat(p.much(100_000));
        Ok(Case::refused(
            p.build(format!("FROM scratch\nENV B={deep}x{}\n", "}".repeat(p.much(100_000))))?,
            "Dockerfile:2",
        ))
    }),
    ("Dockerfile: an expansion that takes long", |p| {
        let text = format!("FROM scratch\nARG A={}\nENV B=${{A//a*b/c}}\n", "a".repeat(30_000));
        Ok(Case::new(p.build(text)?, super::Expect::Anything))
    }),
    ("Dockerfile: many arguments", |p| {
        let mut text = "FROM scratch\n".to_owned();
        for number in 0..p.much(10_000) {
            text.push_str(&format!("ARG A{number}=${{A{}}}x\n", number.saturating_sub(1)));
        }
        Ok(Case::new(p.build(text + "ENV B=$A999\n")?, super::Expect::Anything))
    }),
    ("Dockerfile: JSON that is deep", |p| {
        let text = format!(
            "FROM scratch\nCMD {}\"x\"{}\n",
            "[".repeat(p.much(1 << 20)),
            "]".repeat(p.much(1 << 20))
        );
        Ok(Case::new(p.build(text)?, super::Expect::Anything))
    }),
    ("Dockerfile: zeros", |p| Ok(Case::refused(p.build(vec![0; p.much(1 << 20)])?, "Dockerfile"))),
    ("Dockerfile: bytes that are no text", |p| {
        Ok(Case::new(p.build(b"FROM scratch\nLABEL a=\xff\xfe\x80\n")?, super::Expect::Anything))
    }),
    ("Dockerfile: heredocs without end", |p| {
        Ok(Case::refused(p.build("FROM scratch\nCOPY <<A <<B <<C /x/\nA\n")?, "Dockerfile:2"))
    }),
    ("Dockerfile: steps without end", |p| {
        let text = format!("FROM base0\n{}", "RUN true\n".repeat(p.much(300)));
        p.write("context/a", "x")?;
        Ok(Case::refused(p.build(text + "COPY missing /\n")?, "missing"))
    }),
    ("Dockerfile: noise", noise),
    ("ignore file: patterns that take long", |p| {
        p.write("context/.dockerignore", format!("{}b\n", "**/a*".repeat(40)))?;
        p.write(&format!("context/{}f", "aaaa/".repeat(40)), "x")?;
        Ok(Case::works(p.build("FROM scratch\nCOPY . /\n")?))
    }),
    ("ignore file: thousands of patterns", |p| {
        let mut text = String::new();
        for number in 0..p.much(20_000) {
            text.push_str(&format!("d{number}/**/f*{number}\n!d{number}/x\n"));
        }
        p.write("context/.dockerignore", text)?;
        for number in 0..200 {
            p.write(&format!("context/d{number}/f{number}"), "x")?;
        }
        Ok(Case::works(p.build("FROM scratch\nCOPY . /\n")?))
    }),
];

/// Random words of the language in a random order.
fn noise(place: &mut Place) -> Result<Case> {
    const WORDS: &[&str] = &[
        "FROM",
        "scratch",
        "AS",
        "COPY",
        "--from=",
        "RUN",
        "--mount=type=bind,",
        "<<EOF",
        "EOF",
        "\n",
        "\n",
        "\\\n",
        "\"",
        "'",
        "${",
        "}",
        ":-",
        "$A",
        "[\"",
        "\"]",
        "ARG",
        "A=",
        "ENV",
        "ONBUILD",
        "#",
        "# syntax=",
        "/",
        "..",
        "*",
        "\u{0}",
        "HEALTHCHECK",
        "SHELL",
        "ADD",
        "http://",
        "--checksum=",
        "\u{2028}",
        "\t",
        "SHELL []",
    ];
    let mut text = "FROM scratch\n".to_owned();
    for _ in 0..place.random.below(200) {
        text.push_str(place.random.pick::<&str>(WORDS));
        text.push_str(if place.random.once_in(2) { " " } else { "" });
    }
    Ok(Case::new(place.build(text)?, super::Expect::Anything))
}
