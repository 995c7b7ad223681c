//! `--random N`: Dockerfiles that nobody thought of, put together from tables by a seed.
//!
//! Each is a case like those in `tests/dockerfiles`, but for what must come out: that is what BuildKit says. What is known to
//! differ (`docs/differences.md`) is not put together here.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use jettison_corpus::Case;

use crate::random::Random;

/// The context of all of them.
const SETUP: &str = "mkdir -p d/sub/deep e 'g h'
echo a > a
echo b > b.txt
echo x > d/x
echo y > d/sub/y
echo z > d/sub/z.txt
echo deep > d/sub/deep/f
echo s > 'g h/s p'
echo hidden > .hidden
printf '#!/bin/sh\\necho hi\\n' > run.sh
chmod 755 run.sh
chmod 600 d/x
chmod 700 d/sub/deep
ln -s a la
ln -s d ld
ln -s nowhere dangling
ln -s x d/up
ln a hard
mkdir t
echo in > t/in
ln -s in t/link
chmod 750 t
tar --owner=3 --group=4 --numeric-owner --mtime=@315532800 --sort=name -czf t.tgz t
tar --owner=3 --group=4 --numeric-owner --mtime=@315532800 --sort=name -cf t.tar -C t in link
rm -r t
";

const IGNORES: &[&str] =
    &["", "", "", "*.txt", "d/sub\n!d/sub/y", "**/z.txt", "*\n!d\n!a", "/d/x", "e", "d/*/deep", ".hidden"];

const SOURCES: &[&str] = &[
    "a",
    "b.txt",
    "d",
    "d/",
    "d/*",
    "d/sub",
    "d/sub/",
    "*.txt",
    "la",
    "ld",
    "ld/x",
    "ld/",
    "e",
    ".",
    "./d/sub/..",
    "/a",
    "/d/",
    "d/su?",
    "[ab]*",
    "d/up",
    "hard a",
    "a b.txt",
    "a d",
    "d e",
    "run.sh",
    "t.tgz",
    "t.tar",
    ".hidden",
    "$S",
    "${S:-a}",
    "d/x d/sub/y",
    "no-such",
    "*.none",
    "g*",
    "d/sub/deep",
];

const DESTINATIONS: &[&str] = &[
    "/x",
    "/x/",
    "x",
    "x/",
    ".",
    "./",
    "/",
    "/d",
    "/d/",
    "sub/",
    "/new/deep/",
    "/new/deep",
    "$D",
    "${D:-/q}/",
    "/ln",
    "/ln/",
    "/ln/k/",
    "../up/",
    "/x/../w",
    "/tmp",
    "/tmp/",
    "//n//m/",
    "/home/app/",
    "\"/x\"",
];

const OWNERS: &[&str] = &["1:2", "1000", "7", "0:50", "app", "app:staff", "root", "1000:staff", "app:12"];

/// So many of them are no names.
const NUMBERS: usize = 4;

const MODES: &[&str] = &["u+x", "go-rwx", "a=rX", "u=rw,go=r"];

/// What a copy from another stage takes.
const STAGE_SOURCES: &[&str] =
    &["/x", "/d/", "/tmp/*", "/etc/passwd /etc/group", "/o*", "/", "/ln", "/home", "tmp", "/w"];

const LINKS: &[&str] = &["", "", "", "--link ", "--link=false "];

const EXCLUDES: &[&str] = &["*.txt", "d/x", "**/deep", "sub", "*/y"];

const WORKDIRS: &[&str] = &["/w", "w", "../q", "/d", "/x/y", "$D", "/ln/u", "/", ".", "/tmp/a b"];

/// After which nothing is looked at but the config.
const SETTINGS: &[&str] = &[
    "ENV S=d",
    "ENV S d",
    "ENV D=/dd",
    "ENV D=${D}/more E=\"$S x\"",
    "ENV A=1 B='$A' C=\"$A\" F=a\\ b",
    "ENV PATH=/p:$PATH",
    "ENV E=${S:+set} G=${NO:-none} H=${NO-dash} I=${S-x}",
    "ENV J=${D#/} K=${D##*/} L=${D%d} M=${D/d/e} N=${D//d/e}",
    "ENV O=\\$S P=\\\"q\\\" Q=${R:-${S}}",
    "ARG S",
    "ARG S=e",
    "ARG D=/arg",
    "ARG U=u",
    "ARG W=\"a b\"",
    "LABEL a=b",
    "LABEL a=\"$S\" 'b c'=d",
    "LABEL a.b-c=\"x\\ny\"",
    "LABEL one two  three",
    "EXPOSE 80",
    "EXPOSE 80/udp 443-445",
    "EXPOSE $PORT 8080",
    "VOLUME /v",
    "VOLUME [\"/v\", \"/u\"]",
    "VOLUME $D /k",
    "USER app",
    "USER 1000",
    "USER 5:6",
    "USER root",
    "USER $S",
    "STOPSIGNAL SIGTERM",
    "STOPSIGNAL 9",
    "CMD echo $S",
    "CMD [\"a\", \"$S\"]",
    "CMD [\"a\", ]",
    "CMD []",
    "ENTRYPOINT /e $S",
    "ENTRYPOINT [\"/e\"]",
    "ENTRYPOINT []",
    "SHELL [\"/bin/sh\", \"-ec\"]",
    "SHELL [\"/bin/sh\", \"-c\"]",
    "HEALTHCHECK NONE",
    "HEALTHCHECK --interval=5s --retries=2 CMD true",
    "HEALTHCHECK CMD [\"x\", \"$S\"]",
    "ONBUILD RUN echo $S",
    "ONBUILD COPY a /ob/",
    "MAINTAINER Me <me@x>",
    "# a comment",
    "",
    "env S=lower",
    "LABEL \"k\"=v \\\n  # between\n\n  l=m",
];

const RUNS: &[&str] = &[
    "echo \"$S $D $U\" > /o1",
    "mkdir -p /d/k /deep/er && echo 1 > /d/k/f",
    "ln -s /d /ln",
    "rm -rf /d",
    "rm -rf /x",
    "mkdir -p /x && touch /x/t",
    "id > /tmp/id",
    "pwd > /tmp/pwd",
    "env | grep -v SOURCE_DATE_EPOCH | sort > /tmp/env",
    "mv /o1 /o2 || true",
    "chmod 700 /x || true",
    "chown 5:6 /x || true",
    "mkdir -p /c && mkfifo /c/p",
    "rm -rf /c && mkdir /c",
    "<<EOF\necho $S > /tmp/h\npwd >> /tmp/h\nEOF",
    "<<-'EOF' cat > /tmp/q\n\t$S\n\tEOF",
    "[\"sh\", \"-c\", \"echo $S > /tmp/j\"]",
    "--mount=type=bind,target=/m cat /m/a > /tmp/m",
    "--mount=type=bind,source=d,target=/m,rw ls /m > /tmp/ls && touch /m/n",
    "--mount=type=cache,target=/cache echo 1 > /cache/1",
    "--mount=target=/tmp/dir,type=tmpfs touch /tmp/dir/f",
    "stat -c '%A %u:%g %n' / /tmp /etc /root > /tmp/modes",
    "for i in 1 2; do \\\n  # no\n  echo $i; \\\ndone > /tmp/for",
    "ln -s ../x /y && cat /y || true",
    "mkdir -p /ww && cd /ww && ln -s . self",
    "cp -a /etc/passwd /tmp/pw && ln /tmp/pw /tmp/pw2",
    "umask > /tmp/umask",
    "--network=none true",
    "test -e /etc/hosts && ls -l /proc/self/fd > /dev/null",
    "tail -n 1 /etc/passwd > /usr/p",
    "rm /etc/group; true",
    "exit 3",
];

/// `count` of them; `first` numbers the first one.
pub(super) fn cases(seed: u64, first: u64, count: u64) -> Result<Vec<Case>> {
    (first..first + count).map(|index| case(seed, index)).collect()
}

fn case(seed: u64, index: u64) -> Result<Case> {
    let random = &mut Random::part(seed, index);
    let mut dockerfile = String::new();
    if random.once_in(4) {
        dockerfile.push_str("ARG BASE=busybox\nARG S=global\n");
    }
    let stages = 1 + random.below(3);
    for stage in 0..stages {
        write_stage(random, stage, &mut dockerfile);
    }
    let ignore = random.pick(IGNORES);
    let arguments = *random.pick(&[
        "",
        "",
        "--build-arg=S=d\n",
        "--build-arg=D=/given\n",
        "--label=z=1\n",
        "--build-arg=U\n",
    ]);
    let text = format!(
        "Put together from {seed}, number {index}.\n\n-- Dockerfile --\n{dockerfile}-- .dockerignore --\n{ignore}\n-- setup --\n{SETUP}-- arguments --\n{arguments}"
    );
    Case::parse(&format!("random/{index}"), Path::new("random"), &text)
}

fn write_stage(random: &mut Random, stage: usize, text: &mut String) {
    let earlier = (stage > 0).then(|| format!("s{}", random.below(stage)));
    let base = match (random.below(6), &earlier) {
        (0, _) => "scratch".to_owned(),
        (1, Some(earlier)) => earlier.clone(),
        (2, _) if text.starts_with("ARG BASE") => "${BASE}".to_owned(),
        _ => "busybox".to_owned(),
    };
    // A stage that comes from one on scratch has no shell either; RUN fails there for both.
    let has_shell = base != "scratch";
    let _ = writeln!(text, "FROM {base} AS s{stage}");
    // On scratch a name is an error since 0.25.
    let owners = if base == "busybox" { OWNERS } else { &OWNERS[..NUMBERS] };
    for _ in 0..1 + random.below(7) {
        let line = match random.below(10) {
            0..=3 => copy(random, earlier.as_deref(), owners),
            4 => format!("WORKDIR {}", random.pick(WORKDIRS)),
            5 | 6 if has_shell => format!("RUN {}", random.pick(RUNS)),
            _ => (*random.pick(SETTINGS)).to_owned(),
        };
        let _ = writeln!(text, "{line}");
    }
}

fn copy(random: &mut Random, earlier: Option<&str>, owners: &[&str]) -> String {
    if random.once_in(12) {
        return format!("COPY <<EOF {}\nin $S\nEOF", random.pick(DESTINATIONS));
    }
    let from = earlier.filter(|_| random.once_in(3));
    let name = if from.is_none() && random.once_in(3) { "ADD" } else { "COPY" };
    let mut flags = (*random.pick(LINKS)).to_owned();
    if let Some(stage) = from {
        let _ = write!(flags, "--from={stage} ");
    }
    let sources = match from {
        Some(_) => *random.pick(STAGE_SOURCES),
        None => *random.pick(SOURCES),
    };
    let owner = random.pick(owners);
    // With --link a name is an error since.
    if random.once_in(4) && !(flags.starts_with("--link ") && owner.contains(char::is_alphabetic)) {
        let _ = write!(flags, "--chown={owner} ");
    }
    // With a pattern to exclude 0.25 stumbles over links that lead nowhere.
    if random.once_in(6) && sources.contains('d') {
        let _ = write!(flags, "--exclude={} ", random.pick(EXCLUDES));
    }
    if random.once_in(8) {
        // An octal mode applies to parents since.
        let _ = write!(flags, "--chmod={} ", random.pick(MODES));
    }
    let destination = random.pick(DESTINATIONS);
    if random.once_in(9) && !sources.contains(' ') {
        return format!("{name} {flags}[\"{sources}\", \"{}\"]", destination.trim_matches('"'));
    }
    format!("{name} {flags}{sources} {destination}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_cases_and_others_differ() {
        let texts = |seed| format!("{:?}", cases(seed, 3, 5).unwrap());
        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
    }
}
