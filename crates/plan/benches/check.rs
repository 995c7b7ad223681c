//! How long the checks of a Dockerfile of 500 lines take: `cargo bench -p jettison-plan`.
//!
//! Seen on two cores of an AMD EPYC under full load from other work: parse 1.5 ms, rules 2.7 ms, errors of all stages
//! 3.7 ms. The whole program, 75 findings: 10 ms of processor time as text, 9 ms as JSON, 2 ms of it to start.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use jettison_dockerfile::{Dockerfile, lint, parse};
use jettison_plan::survey::{self, Stages, Survey};
use jettison_plan::{Images, Options};

/// What people write, 25 stages of 20 lines, some of it with findings.
fn file_of_500_lines() -> String {
    let mut text = String::new();
    for stage in 0..25 {
        let base = if stage == 0 { "scratch".to_owned() } else { format!("stage{}", stage - 1) };
        let _ = write!(
            text,
            "# stage{stage} does a part of the work\nFROM {base} AS stage{stage}\nARG VERSION{stage}=1.{stage}\n\
             ENV PATH=/opt/{stage}/bin:$PATH \\\n    VERSION=${{VERSION{stage}:-none}}\nWORKDIR /src/{stage}\n\
             COPY --chown=1000:1000 go.mod go.sum ./\n\
             RUN --mount=type=cache,target=/root/.cache,id=cache-$VERSION \\\n    # modules first\n    go mod download \\\n    \
             && go build ./...\nCOPY . .\nRUN <<EOF\nset -eu\necho $VERSION\nmake install\nEOF\n\
             LABEL org.opencontainers.image.version=$VERSOIN\nEXPOSE 80/TCP\nCMD run $HOME\n"
        );
    }
    text
}

/// Runs the rules; returns the number of findings.
fn findings(file: &Dockerfile) -> usize {
    let (options, images) = (&Options::default(), &Images::default());
    let (mut linter, _) = survey::linter(file, options).unwrap_or_default();
    lint::check_text(file, &mut linter);
    survey::survey(&Survey { file, options, images, ignore: None, stages: Stages::All }, &mut linter);
    linter.into_findings().len()
}

/// Looks for errors in all stages; returns how many there are.
fn errors(file: &Dockerfile) -> usize {
    jettison_plan::errors(file, &Options::default(), &Images::default()).len()
}

fn bench(criterion: &mut Criterion) {
    let text = file_of_500_lines();
    assert_eq!(text.lines().count(), 500);
    let file = parse(text.as_bytes()).dockerfile;
    assert_eq!(findings(&file), 75, "25 times UndefinedVar, ExposeProtoCasing and JSONArgsRecommended");
    assert_eq!(errors(&file), 0);
    let mut group = criterion.benchmark_group("500 lines");
    group.bench_function("parse", |bencher| bencher.iter(|| parse(black_box(text.as_bytes()))));
    group.bench_function("rules", |bencher| bencher.iter(|| findings(black_box(&file))));
    group.bench_function("errors", |bencher| bencher.iter(|| errors(black_box(&file))));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
