//! What holds for every input: no panic, and every place lies in the source.

use jettison_dockerfile::{Instruction, Kind, Span, mount, parse, parse_onbuild};
use proptest::prelude::*;

/// Every place that a parsed file mentions.
fn places(source: &[u8]) -> Vec<Span> {
    let parsed = parse(source);
    let file = parsed.dockerfile;
    let mut places: Vec<Span> = parsed.diagnostics.iter().map(|d| d.span).collect();
    places.extend(file.directives.syntax.iter().chain(&file.directives.check).map(|word| word.span));
    for arg in &file.global_args {
        places.push(arg.span);
        places.extend(arg.items.iter().map(|item| item.name.span));
        places.extend(arg.items.iter().filter_map(|item| item.default.as_ref()).map(|word| word.span));
    }
    for stage in &file.stages {
        places.extend([stage.from.span, stage.from.image.span]);
        places.extend(stage.from.name.iter().map(|name| name.span));
        for instruction in &stage.instructions {
            places.extend([instruction.span, instruction.keyword]);
            assert!(instruction.span.start <= instruction.keyword.start);
            assert!(instruction.keyword.end <= instruction.span.end);
            words(&instruction.kind, &mut places);
        }
    }
    places
}

fn words(kind: &Kind, places: &mut Vec<Span>) {
    match kind {
        Kind::Env(pairs) | Kind::Label(pairs) => {
            places.extend(pairs.iter().flat_map(|pair| [pair.key.span, pair.value.span]));
        }
        Kind::Copy(copy) => {
            places.extend(copy.common.sources.iter().map(|word| word.span));
            places.extend(copy.common.heredocs.iter().map(|heredoc| heredoc.span));
            places.push(copy.common.destination.span);
        }
        Kind::Run(run) => places.extend(run.mounts.iter().map(|word| word.span)),
        Kind::Expose(words) | Kind::Volume(words) => places.extend(words.iter().map(|word| word.span)),
        Kind::User(word) | Kind::Workdir(word) | Kind::Stopsignal(word) => places.push(word.span),
        Kind::Onbuild(onbuild) => places.push(onbuild.trigger.span),
        _ => {}
    }
}

fn check(source: &[u8]) -> Result<(), TestCaseError> {
    for span in places(source) {
        prop_assert!(span.start <= span.end && span.end <= source.len(), "{span} of {}", source.len());
    }
    Ok(())
}

/// What an instruction says, wherever it stands.
fn without_places(instruction: &Instruction) -> String {
    let text = format!("{:?}", instruction.kind);
    let mut kept = String::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once("Span { start: ") {
        kept.push_str(before);
        rest = behind.split_once('}').map_or("", |(_, behind)| behind);
    }
    kept + rest
}

/// Pieces that Dockerfiles are made of, so that random files reach into the corners.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "FROM a",
        "FROM a AS b",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "ARG ",
        "LABEL ",
        "ONBUILD ",
        "HEALTHCHECK ",
        "CMD ",
        "EXPOSE ",
        "VOLUME ",
        "USER ",
        "SHELL ",
        "# escape=`",
        "# syntax=x",
        "#",
        "\n",
        "\r\n",
        "\n\n",
        "\\\n",
        "`\n",
        " ",
        "\t",
        "<<EOF",
        "<<-'EOF'",
        "<< \"E F\"",
        "EOF",
        "\n\tEOF\n",
        "--from=",
        "--mount=",
        "--link",
        "--",
        "=",
        "\"",
        "'",
        "\\",
        "$",
        "${",
        "}",
        "[\"a\", ",
        "\"b\"]",
        "[1]",
        "é",
        "\u{feff}",
        "\u{a0}",
        "a",
        "b=c",
        "NONE",
        "CMD x",
        "\0",
    ])
}

/// The text as a line of a file. One that ends with the escape character came from a line that goes on with white space which is
/// neither blank nor tab (`RUN =\` and U+00A0): such a line is trimmed, but not continued.
fn as_line(text: &str) -> String {
    let end = if text.ends_with('\\') { "\u{a0}\n" } else { "\n" };
    format!("{text}{end}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(source: Vec<u8>) {
        check(&source)?;
    }

    #[test]
    fn plausible_files(pieces in prop::collection::vec(piece(), 0..40), noise in prop::option::of(any::<u8>())) {
        let mut source = pieces.concat().into_bytes();
        source.extend(noise);
        check(&source)?;
    }

    #[test]
    fn plausible_stages(pieces in prop::collection::vec(piece(), 0..40)) {
        let source = format!("FROM a\n{}", pieces.concat());
        check(source.as_bytes())?;
    }

    /// An instruction's one-line text says the same as the instruction.
    #[test]
    fn texts_of_instructions(pieces in prop::collection::vec(piece(), 0..40)) {
        let source = format!("FROM a\n{}", pieces.concat());
        let parsed = parse(source.as_bytes());
        let escape = parsed.dockerfile.directives.escape_char();
        prop_assert_eq!(escape, '\\', "directives stand at the top");
        for instruction in parsed.dockerfile.stages.into_iter().flat_map(|stage| stage.instructions) {
            if instruction.text.contains("<<") {
                continue;
            }
            let again = parse(format!("FROM a\n{}", as_line(&instruction.text)).as_bytes());
            prop_assert!(!again.has_errors(), "{:?}: {:?}", instruction.text, again.diagnostics);
            let kinds: Vec<String> =
                again.dockerfile.stages.iter().flat_map(|stage| &stage.instructions).map(without_places).collect();
            prop_assert_eq!(kinds, [without_places(&instruction)], "{:?}", instruction.text);
        }
    }

    #[test]
    fn triggers(pieces in prop::collection::vec(piece(), 0..20)) {
        let trigger = pieces.concat();
        if let Err(diagnostic) = parse_onbuild(&trigger) {
            prop_assert!(diagnostic.span.end <= trigger.len());
        }
    }

    #[test]
    fn mounts(text in "[a-z=,\"$/ ]{0,30}|.{0,20}") {
        let _ = mount::parse(&text);
    }

    /// An instruction's span, cut out of the file and read alone, gives the same instruction.
    #[test]
    fn an_instruction_stands_for_itself(pieces in prop::collection::vec(piece(), 0..30)) {
        let source = format!("FROM a\n{}", pieces.concat());
        let parsed = parse(source.as_bytes());
        let Some(stage) = parsed.dockerfile.stages.first() else { return Ok(()) };
        for instruction in &stage.instructions {
            let alone = format!("FROM a\n{}", as_line(&source[instruction.span.start..instruction.span.end]));
            let again = parse(alone.as_bytes());
            let found = again.dockerfile.stages[0].instructions.first().map(|other| other.text.clone());
            prop_assert_eq!(found.as_ref(), Some(&instruction.text), "{:?}", alone);
        }
    }
}
