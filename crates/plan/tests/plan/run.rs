//! RUN: what is executed, with what around it, and how it is called.

use crate::support::{dumped, dumped_with, history, names, options};
use jettison_plan::{Network, Options};

#[test]
fn forms_and_surroundings() {
    let text = "FROM a\nUSER app:www\nWORKDIR /w\nENV A=1\nRUN echo $A\nRUN [\"ls\", \"$A\"]\nRUN --network=none --security=insecure x\nRUN --network=host y\n";
    insta::assert_snapshot!(dumped(text), @r#"
    platform linux/amd64
    image 0: docker.io/library/a:latest linux/amd64
    stage 0: image 0 -> step 4
      step 0 on image 0: [2/6] WORKDIR /w
        make /w for "app:www"
      step 1 on step 0: [3/6] RUN echo 1
        argv ["/bin/sh", "-c", "echo $A"]
        env ["PATH=/usr/bin", "A=1"]
        in /w as "app:www"
      step 2 on step 1: [4/6] RUN ["ls", "1"]
        argv ["ls", "$A"]
        env ["PATH=/usr/bin", "A=1"]
        in /w as "app:www"
      step 3 on step 2: [5/6] RUN --network=none --security=insecure x
        argv ["/bin/sh", "-c", "x"]
        env ["PATH=/usr/bin", "A=1"]
        in /w as "app:www"
        network none
        insecure
      step 4 on step 3: [6/6] RUN --network=host y
        argv ["/bin/sh", "-c", "y"]
        env ["PATH=/usr/bin", "A=1"]
        in /w as "app:www"
        network host
      history -: USER app:www
      history 0: WORKDIR /w
      history -: ENV A=1
      history 1: RUN /bin/sh -c echo $A # buildkit
      history 2: RUN ls $A # buildkit
      history 3: RUN /bin/sh -c x # buildkit
      history 4: RUN /bin/sh -c y # buildkit
    "#);
}

#[test]
fn the_network_of_the_command_line_is_the_default() {
    let options = Options { network: Network::Host, ..options() };
    insta::assert_snapshot!(dumped_with("FROM a\nRUN x\nRUN --network=default y\n", &options), @r#"
    platform linux/amd64
    image 0: docker.io/library/a:latest linux/amd64
    stage 0: image 0 -> step 1
      step 0 on image 0: [2/3] RUN x
        argv ["/bin/sh", "-c", "x"]
        env ["PATH=/usr/bin"]
        in / as ""
        network host
      step 1 on step 0: [3/3] RUN --network=default y
        argv ["/bin/sh", "-c", "y"]
        env ["PATH=/usr/bin"]
        in / as ""
      history 0: RUN /bin/sh -c x # buildkit
      history 1: RUN /bin/sh -c y # buildkit
    "#);
}

#[test]
fn heredocs() {
    let text = "FROM a\nRUN <<EOF\necho one\necho $two\nEOF\nRUN <<script\n#!/usr/bin/env python3\nprint(1)\nscript\nRUN cat <<A | tr a b\naaa\nA\nRUN\n";
    insta::assert_snapshot!(dumped(text), @r##"
    platform linux/amd64
    image 0: docker.io/library/a:latest linux/amd64
    stage 0: image 0 -> step 3
      step 0 on image 0: [2/5] RUN <<EOF (echo one...)
        argv ["/bin/sh", "-c", "echo one\necho $two\n"]
        env ["PATH=/usr/bin"]
        in / as ""
      step 1 on step 0: [3/5] RUN <<script (#!/usr/bin/env python3...)
        argv ["/bin/sh", "-c", "/dev/pipes/script"]
        script script "#!/usr/bin/env python3\nprint(1)\n"
        env ["PATH=/usr/bin"]
        in / as ""
      step 2 on step 1: [4/5] RUN cat <<A | tr a b
        argv ["/bin/sh", "-c", "cat <<A | tr a b\naaa\nA"]
        env ["PATH=/usr/bin"]
        in / as ""
      step 3 on step 2: [5/5] RUN
        argv ["/bin/sh", "-c", ""]
        env ["PATH=/usr/bin"]
        in / as ""
      history 0: RUN /bin/sh -c echo one\necho $two\n # buildkit
      history 1: RUN /bin/sh -c /dev/pipes/script # buildkit
      history 2: RUN /bin/sh -c cat <<A | tr a b\naaa\nA # buildkit
      history 3: RUN /bin/sh -c  # buildkit
    "##);
}

#[test]
fn names_show_values_but_not_secrets() {
    let text = "FROM a\nARG V=1\nENV TOKEN=never\nRUN --mount=type=secret,id=t,env=TOKEN use $V '$V' $TOKEN $OTHER\nrun \\\n  lower\n";
    insta::assert_snapshot!(names(text), @r#"
    [2/3] RUN --mount=type=secret,id=t,env=TOKEN use 1 '$V' **** $OTHER
    [3/3] RUN   lower
    "#);
}

#[test]
fn histories_hold_the_whole_command() {
    insta::assert_snapshot!(history("FROM a\nRUN --network=none <<EOF\na\nb\nEOF\nRUN one && \\\n    two\n"), @r#"
    * RUN /bin/sh -c a\nb\n # buildkit
    * RUN /bin/sh -c one &&     two # buildkit
    "#);
}
