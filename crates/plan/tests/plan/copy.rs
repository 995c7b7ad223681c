//! COPY and ADD.

use crate::support::{dumped, dumped_with, history, options, planned};
use jettison_plan::{Action, Copy, Fs, Options, Source};

fn copies(text: &str) -> Vec<Copy> {
    let copies = planned(text).steps.into_iter().filter_map(|step| match step.action {
        Action::Copy(copy) => Some(copy),
        _ => None,
    });
    copies.collect()
}

#[test]
fn flags_and_variables() {
    let text = "FROM a\nARG D=dest\nENV S=src O=me:us M=u+x\nWORKDIR /w\nCOPY --chown=$O --chmod=$M --parents --exclude=*.o --exclude=$S $S/a ${S}b /$D/\nADD --chmod=0644 --unpack=false x.tar $D\nADD y.tar .\nCOPY --link a b\n";
    insta::assert_snapshot!(dumped(text), @r#"
    platform linux/amd64
    image 0: docker.io/library/a:latest linux/amd64
    stage 0: image 0 -> step 4
      step 0 on image 0: [2/6] WORKDIR /w
        make /w for ""
      step 1 on step 0: [3/6] COPY --chown=me:us --chmod=u+x --parents --exclude=*.o --exclude=src src/a srcb /dest/
        ["src/a", "srcb"] of context -> "/dest/"
        chown me:us
        chmod u+x
        exclude ["*.o", "$S"]
        parents
      step 2 on step 1: [4/6] ADD --chmod=0644 --unpack=false x.tar dest
        ["x.tar"] of context -> "/w/dest"
        chmod 0644
      step 3 on step 2: [5/6] ADD y.tar .
        ["y.tar"] of context -> "/w/"
        unpack
      step 4 on step 3: [6/6] COPY --link a b
        ["a"] of context -> "/w/b"
        link
      history -: ARG D=dest
      history -: ENV S=src O=me:us M=u+x
      history 0: WORKDIR /w
      history 1: COPY --parents --chown=me:us --chmod=u+x src/a srcb /dest/ # buildkit
      history 2: ADD --chmod=0644 x.tar dest # buildkit
      history 3: ADD y.tar . # buildkit
      history 4: COPY a b # buildkit
    "#);
}

#[test]
fn where_from() {
    let text = "FROM a AS one\nRUN 1\nFROM b\nRUN 2\nFROM c\nCOPY --from=one a /\nCOPY --from=0 a /\nCOPY --from=1 a /\nCOPY --from=img:2 a /\nCOPY --from=scratch a /\nCOPY --from= a /\n";
    let plan = planned(text);
    let from: Vec<Source> = copies(text).into_iter().map(|copy| copy.from).collect();
    let step = |id| Source::Fs(Fs::Step(id));
    assert_eq!(
        from,
        [step(0), step(0), step(1), Source::Fs(Fs::Image(3)), Source::Fs(Fs::Scratch), Source::Context]
    );
    assert_eq!(plan.images[3].reference.familiar(), "img:2");
}

#[test]
fn variables_in_from_are_expanded_with_the_stage() {
    let text = "ARG V=2\nFROM a AS one\nRUN 1\nFROM b AS two\nRUN 2\nFROM c\nARG V\nENV WHICH=two\nCOPY --from=$WHICH a /\nCOPY --from=img:$V a /\n";
    insta::assert_snapshot!(dumped(text), @r#"
    platform linux/amd64
    image 0: docker.io/library/b:latest linux/amd64
    image 1: docker.io/library/c:latest linux/amd64
    image 2: docker.io/library/img:2 linux/amd64
    stage 1 two: image 0 -> step 0
      step 0 on image 0: [two 2/2] RUN 2
        argv ["/bin/sh", "-c", "2"]
        env ["PATH=/usr/bin"]
        in / as ""
      history 0: RUN /bin/sh -c 2 # buildkit
    stage 2: image 1 -> step 2
      step 1 on image 1: [stage-2 2/3] COPY --from=two a /
        ["a"] of step 0 -> "/"
      step 2 on step 1: [stage-2 3/3] COPY --from=img:2 a /
        ["a"] of image 2 -> "/"
      history -: ARG V=2
      history -: ENV WHICH=two
      history 1: COPY a / # buildkit
      history 2: COPY a / # buildkit
    "#);
}

#[test]
fn stages_found_through_variables_bring_what_they_need() {
    let text = "FROM a AS one\nRUN 1\nFROM scratch AS two\nARG F=one\nCOPY --from=$F a /\nFROM scratch\nARG G=two\nCOPY --from=$G a /\n";
    let plan = planned(text);
    assert_eq!(plan.stages.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(plan.steps[1].name, "[two 1/1] COPY --from=one a /");
}

#[test]
fn heredocs() {
    let text = "FROM a\nENV V=value\nCOPY x <<one <<\"two\" /d/\n$V \\$V \"quoted\"\none\n$V\ntwo\n";
    insta::assert_snapshot!(dumped(text), @r#"
    platform linux/amd64
    image 0: docker.io/library/a:latest linux/amd64
    stage 0: image 0 -> step 0
      step 0 on image 0: [2/2] COPY x <<one <<"two" /d/
        ["x"] of context -> "/d/"
        inline one "value $V \"quoted\"\n"
        inline two "$V\n"
      history -: ENV V=value
      history 0: COPY x <<one <<two /d/ # buildkit
    "#);
}

#[test]
fn histories() {
    let text = "FROM a\nCOPY --link --from=b --chown=1:2 --chmod=755 --exclude=x a b /c/\nCOPY --parents a /\nADD [\"a b\", \"/c\"]\nCOPY --chown= --chmod= a .\n";
    insta::assert_snapshot!(history(text), @r#"
    * COPY --chown=1:2 --chmod=755 a b /c/ # buildkit
    * COPY --parents a / # buildkit
    * ADD a b /c # buildkit
    * COPY a . # buildkit
    "#);
}

#[test]
fn a_mode_turns_a_link_into_an_ordinary_copy() {
    let links: Vec<bool> =
        copies("FROM a\nCOPY --link a b\nCOPY --link --chmod=644 a b\n").iter().map(|c| c.link).collect();
    assert_eq!(links, [true, false]);
}

#[test]
fn destinations() {
    let text = "FROM a\nWORKDIR /w\nCOPY a .\nCOPY a $NOTHING\nCOPY a ../x\nCOPY a /y/.\nCOPY a z/\nCOPY a /i/j/..\n";
    let destinations: Vec<String> = copies(text).into_iter().map(|copy| copy.destination).collect();
    assert_eq!(destinations, ["/w/", "/w/", "/x", "/y/", "/w/z/", "/i"]);
}

#[test]
fn a_source_that_expands_to_nothing_is_the_root() {
    let copies = copies("FROM a\nCOPY $NOTHING /x\n");
    assert_eq!(copies[0].sources[0].0, "/");
}

#[test]
fn no_cache_reaches_every_step() {
    let options = Options { no_cache: true, ..options() };
    insta::assert_snapshot!(dumped_with("FROM scratch\nCOPY a b\nRUN x\n", &options), @r#"
    platform linux/amd64
    stage 0: scratch -> step 1
      step 0 on scratch: [1/2] COPY a b
        ["a"] of context -> "/b"
        no cache
      step 1 on step 0: [2/2] RUN x
        argv ["/bin/sh", "-c", "x"]
        env ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        in / as ""
        no cache
      history 0: COPY a b # buildkit
      history 1: RUN /bin/sh -c x # buildkit
    "#);
}
