//! Random Dockerfiles, whose results show whatever they saw: every file with type, mode, owner and content.

use crate::random::Random;

/// Lists a folder in a way that depends on nothing but the files.
const LIST: &str = "(cd $D && find . | sort | while IFS= read -r p; do stat -c '%N %f %u %g' \"$p\"; \
                    [ -L \"$p\" ] || [ ! -f \"$p\" ] || sha256sum \"$p\"; done)";

/// Instructions; `@` becomes a small number, `LIST` the text above.
const INSTRUCTIONS: &[&str] = &[
    "COPY . /all@",
    "COPY d /d@/",
    "COPY d/f* /wild@/",
    "COPY --chmod=7@5 d /mode",
    "COPY --chmod=u+x,g-w a /symbolic",
    "COPY --chown=@:1 f /owned",
    "COPY --chown=app:staff . /named@",
    "COPY link dirlink /links@/",
    "COPY --link d /l@/",
    "ADD archive.tar /archive@/",
    "ADD --unpack=false archive.tar /kept@",
    "COPY --parents d/f* link /parents@/",
    "COPY --parents ./d/./* /pivot@/",
    "COPY --parents --chmod=7@5 */f /parents-mode/",
    "COPY --parents --exclude=*.n --chown=@:0 . /parents-owned/",
    "COPY --exclude=f* --exclude=**/e . /excluded@/",
    "ADD e /e@/",
    "COPY --from=named . /context@/",
    "COPY <<EOF /heredoc\nbody @\nEOF",
    "RUN <<EOF\necho @ > /heredoc-run\nEOF",
    "WORKDIR /w@",
    "ENV E=@",
    "ARG V=@",
    "LABEL l=@",
    "USER @",
    "USER root",
    "RUN echo \"$V\" > /tmp/v; env | sort > /tmp/env",
    "RUN pwd > /tmp/pwd; id > /tmp/id",
    "RUN --mount=type=bind,target=/ctx D=/ctx; LIST > /tmp/seen@",
    "RUN --mount=type=bind,source=d,target=/ctx,rw D=/ctx; touch /ctx/new; LIST > /tmp/seen-rw",
    "RUN --mount=type=bind,from=named,target=/n D=/n; LIST > /tmp/seen-named",
    "RUN --mount=type=cache,target=/c@ echo x >> /c@/x",
    "RUN --mount=type=secret,id=s test -s /run/secrets/s && echo @ > /tmp/secret",
    "RUN --mount=type=tmpfs,target=/t@ touch /t@/x",
    "RUN --network=none echo @ > /tmp/network",
    "RUN touch -d '197@-01-01 00:00:00' /tmp/old",
    "RUN mkdir -p /tmp/dir && chmod 7@0 /tmp/dir",
    "RUN rm -rf /all1; echo @ > /tmp/removed",
    "RUN mv /etc/group /etc/g@ && mv /etc/g@ /etc/group",
    "RUN echo 'app:x:100@:1000::/:/bin/sh' > /etc/passwd",
    "SHELL [\"/bin/sh\", \"-ec\"]",
];

/// Instructions that read another stage.
const FROM_STAGE: &[&str] = &[
    "COPY --from=one /tmp /from@/",
    "COPY --from=one /tmp/v* /w* /fromw@/",
    "COPY --from=one --chown=@:0 /tmp /owned@/",
    "COPY --from=one /etc/passwd /etc/passwd",
    "COPY --parents --from=one /tmp/./v* /w* /fromp@/",
    "COPY --from=one --exclude=v --link /tmp /fromx@/",
    "COPY --from=one --chmod=u=rwX,go=@ /tmp /fromm@/",
    "RUN --mount=type=bind,from=one,target=/one D=/one/tmp; LIST > /tmp/one",
    "RUN --mount=type=bind,from=one,source=/tmp,target=/one D=/one; LIST > /tmp/one-tmp",
    "RUN --mount=type=cache,from=one,source=/tmp,target=/cc ls /cc > /dev/null; echo @ > /tmp/cc",
];

/// A Dockerfile as indices into the tables above and numbers.
#[derive(Clone, Debug)]
pub struct Recipe {
    stages: Vec<Vec<(bool, usize, usize)>>,
}

impl Recipe {
    pub fn random(random: &mut Random) -> Self {
        let mut stages = Vec::new();
        for stage in 0..2 {
            let lines = (0..2 + random.below(5)).map(|_| line(stage, random)).collect();
            stages.push(lines);
        }
        Self { stages }
    }

    /// One random change; returns what it was.
    pub fn edit(&mut self, random: &mut Random) -> String {
        let stage = random.below(self.stages.len());
        let lines = &mut self.stages[stage];
        let at = random.below(lines.len() + 1);
        match random.below(4) {
            0 => lines.insert(at, line(stage, random)),
            1 if at < lines.len() && lines.len() > 2 => drop(lines.remove(at)),
            2 if at + 1 < lines.len() => lines.swap(at, at + 1),
            _ if at < lines.len() => lines[at].2 = random.below(3),
            _ => lines.push(line(stage, random)),
        }
        if lines.len() > 9 {
            lines.remove(random.below(9));
        }
        format!("Dockerfile, stage {stage}, line {at}")
    }

    pub fn text(&self) -> String {
        let mut text = "FROM base AS one\n".to_owned();
        for (index, lines) in self.stages.iter().enumerate() {
            if index > 0 {
                text.push_str("FROM base\n");
            }
            for (from_stage, instruction, number) in lines {
                let table = if *from_stage { FROM_STAGE } else { INSTRUCTIONS };
                let line = table[*instruction].replace('@', &number.to_string()).replace("LIST", LIST);
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }
}

fn line(stage: usize, random: &mut Random) -> (bool, usize, usize) {
    let from_stage = stage > 0 && random.once_in(2);
    let table = if from_stage { FROM_STAGE } else { INSTRUCTIONS };
    (from_stage, random.below(table.len()), random.below(3))
}
