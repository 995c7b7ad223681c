//! `--only check`: how long `jettison check` needs for a Dockerfile of 500 lines. Editors ask after each key, so the limit
//! is 10 ms. Nobody else has such a command without a daemon, so there is nobody to compare with.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::jettison::{Jettison, Profile};
use crate::process;
use crate::scratch::Scratch;
use crate::table;

/// For `--only`.
pub const NAME: &str = "check";
/// Lines of the Dockerfile.
const LINES: usize = 500;
/// An editor's user does not notice less, seconds.
const LIMIT: f64 = 0.010;

/// One stage, of the kind that real files are made of. `@` is its number.
const STAGE: &str = r#"
FROM base AS service-@
ARG VERSION=1.@
ARG TARGETARCH
ENV APP_HOME=/srv/app@ \
    PATH=/srv/app@/bin:$PATH \
    LOG_LEVEL="${LOG_LEVEL:-info}"
LABEL org.opencontainers.image.title="service @" org.opencontainers.image.version=$VERSION
WORKDIR $APP_HOME
# Dependencies change less often than the source.
COPY --chown=app:app package@.json package-lock@.json ./
RUN --mount=type=cache,target=/root/.npm,id=npm-@ \
    --mount=type=secret,id=token,env=TOKEN \
    npm ci --omit=dev \
    # comments inside
    && npm cache verify
COPY --from=base --chmod=0755 /usr/bin/env ./bin/env-${TARGETARCH}
COPY . .
RUN <<EOF
set -e
make -C src VERSION="$VERSION"
install -m 755 src/out/service /usr/local/bin/service-@
EOF
EXPOSE 80@/tcp
HEALTHCHECK --interval=30s CMD wget -q -O- localhost:80@/health || exit 1
USER app
CMD ["service-@", "--config", "/etc/service.conf"]
"#;

/// Measures; returns a table as Markdown.
pub fn run(runs: usize) -> Result<String> {
    let context = Scratch::below(&std::env::temp_dir(), "jettison-check")?;
    let jettison = Jettison::compiled(Profile::Release, &context.path().join("store"))?;
    let text = dockerfile();
    std::fs::write(context.path().join("Dockerfile"), &text)?;
    let mut seconds = Vec::new();
    // Once more than asked for: the first finds nothing in memory.
    for _ in 0..=runs {
        let mut command = jettison.command(["check"]);
        command.arg(context.path());
        let start = Instant::now();
        let output = command.output().context("starting jettison")?;
        seconds.push(start.elapsed().as_secs_f64());
        // 1 says that there are findings.
        ensure!(output.status.code().is_some_and(|code| code <= 1), process::describe(&command));
    }
    let mut rest = seconds.split_off(1);
    rest.sort_by(f64::total_cmp);
    let median = rest[rest.len() / 2];
    let row = |label: &str, value: f64| vec![label.to_owned(), table::seconds(value)];
    let rows = [
        row("first", seconds[0]),
        row("median", median),
        row("longest", rest[rest.len() - 1]),
        row("allowed", LIMIT),
    ];
    Ok(table::markdown(&["", "seconds"], &rows))
}

/// Stages until there are enough lines.
fn dockerfile() -> String {
    let mut text = "# syntax=docker/dockerfile:1\nARG BASE=scratch\nFROM ${BASE} AS base\n".to_owned();
    for number in 0.. {
        let stage = STAGE.replace('@', &number.to_string());
        for line in stage.lines() {
            if text.lines().count() == LINES {
                return text;
            }
            let _ = writeln!(text, "{line}");
        }
    }
    text
}
