//! Instructions that only change the config: the config JSON and the history that they leave.

use jettison_plan::Options;

use crate::support::{base, config, config_with, dumped, history, options};

#[test]
fn everything_at_once() {
    let text = "FROM scratch\nMAINTAINER somebody\nENV a=1 b=\"two words\"\nENV c d e\nLABEL x=$a y=2\nEXPOSE 80/UDP 443 80/udp\nUSER $a\nVOLUME /v [\"/w\"]\nVOLUME [\"/x y\"]\nSTOPSIGNAL SIGTERM\nHEALTHCHECK --interval=1m30s --retries=3 CMD curl x\nSHELL [\"/bin/bash\", \"-c\"]\nONBUILD RUN x\nCMD run it\nENTRYPOINT [\"e\"]\n";
    insta::assert_snapshot!(config(text), @r#"
    {
      "ArgsEscaped": true,
      "Cmd": [
        "/bin/bash",
        "-c",
        "run it"
      ],
      "Entrypoint": [
        "e"
      ],
      "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "a=1",
        "b=two words",
        "c=d e"
      ],
      "ExposedPorts": {
        "443/tcp": {},
        "80/udp": {}
      },
      "Healthcheck": {
        "Interval": 90000000000,
        "Retries": 3,
        "Test": [
          "CMD-SHELL",
          "curl x"
        ]
      },
      "Labels": {
        "x": "1",
        "y": "2"
      },
      "OnBuild": [
        "RUN x"
      ],
      "Shell": [
        "/bin/bash",
        "-c"
      ],
      "StopSignal": "SIGTERM",
      "User": "1",
      "Volumes": {
        "/v": {},
        "/x y": {},
        "[/w]": {}
      },
      "WorkingDir": "/"
    }
    "#);
    insta::assert_snapshot!(history(text), @r#"
    - MAINTAINER somebody
    - ENV a=1 b=two words
    - ENV c=d e
    - LABEL x=1 y=2
    - EXPOSE [443/tcp 80/udp 80/udp]
    - USER 1
    - VOLUME [/v [/w]]
    - VOLUME [/x y]
    - STOPSIGNAL SIGTERM
    - HEALTHCHECK {Test:[CMD-SHELL curl x] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}
    - SHELL [/bin/bash -c]
    - CMD ["/bin/bash" "-c" "run it"]
    - ENTRYPOINT ["e"]
    "#);
}

#[test]
fn a_repeated_variable_keeps_its_place() {
    insta::assert_snapshot!(config("FROM scratch\nENV a=1 b=2\nENV a=3\n"), @r#"
    {
      "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "a=3",
        "b=2"
      ],
      "WorkingDir": "/"
    }
    "#);
}

#[test]
fn commands_and_entry_points_of_the_base() {
    let with_command = |_: &str| {
        let mut config = base();
        config.config.cmd = Some(vec!["inherited".into()]);
        config.config.entrypoint = Some(vec!["entry".into()]);
        config
    };
    let of = |text: &str| config_with(text, &options(), &with_command);
    insta::assert_snapshot!(of("FROM a\nENTRYPOINT [\"e\"]\n"), @r#"
    {
      "Entrypoint": [
        "e"
      ],
      "Env": [
        "PATH=/usr/bin"
      ]
    }
    "#);
    insta::assert_snapshot!(of("FROM a\nCMD [\"c\"]\nENTRYPOINT e\n"), @r#"
    {
      "ArgsEscaped": true,
      "Cmd": [
        "c"
      ],
      "Entrypoint": [
        "/bin/sh",
        "-c",
        "e"
      ],
      "Env": [
        "PATH=/usr/bin"
      ]
    }
    "#);
    insta::assert_snapshot!(of("FROM a\nENTRYPOINT [\"e\"]\nCMD [\"c\"]\n"), @r#"
    {
      "ArgsEscaped": true,
      "Cmd": [
        "c"
      ],
      "Entrypoint": [
        "e"
      ],
      "Env": [
        "PATH=/usr/bin"
      ]
    }
    "#);
    insta::assert_snapshot!(of("FROM a\nCMD []\nENTRYPOINT []\n"), @r#"
    {
      "ArgsEscaped": true,
      "Env": [
        "PATH=/usr/bin"
      ]
    }
    "#);
    // Whether CMD was set is remembered for one stage only.
    insta::assert_snapshot!(of("FROM a AS b\nCMD [\"c\"]\nFROM b\nENTRYPOINT [\"e\"]\n"), @r#"
    {
      "ArgsEscaped": true,
      "Entrypoint": [
        "e"
      ],
      "Env": [
        "PATH=/usr/bin"
      ]
    }
    "#);
}

#[test]
fn shell_forms_use_the_shell_at_that_point() {
    insta::assert_snapshot!(history("FROM a\nRUN one\nSHELL [\"/bin/bash\", \"-eo\", \"pipefail\", \"-c\"]\nRUN two\nCMD three\nENTRYPOINT four\n"), @r#"
    * RUN /bin/sh -c one # buildkit
    - SHELL [/bin/bash -eo pipefail -c]
    * RUN /bin/bash -eo pipefail -c two # buildkit
    - CMD ["/bin/bash" "-eo" "pipefail" "-c" "three"]
    - ENTRYPOINT ["/bin/bash" "-eo" "pipefail" "-c" "four"]
    "#);
}

#[test]
fn lists_are_quoted_as_go_does() {
    insta::assert_snapshot!(history("FROM a\nCMD [\"a b\", \"c\\\"d\", \"tab\\there\", \"<&>\"]\nCMD []\n"), @r#"
    - CMD ["a b" "c\"d" "tab\there" "<&>"]
    - CMD []
    "#);
}

#[test]
fn health_checks() {
    insta::assert_snapshot!(config("FROM scratch\nHEALTHCHECK NONE\n"), @r#"
    {
      "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
      ],
      "Healthcheck": {
        "Test": [
          "NONE"
        ]
      },
      "WorkingDir": "/"
    }
    "#);
    let text = "FROM scratch\nHEALTHCHECK --timeout=500ms --start-period=0s CMD [\"a\", \"b\"]\n";
    insta::assert_snapshot!(config(text), @r#"
    {
      "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
      ],
      "Healthcheck": {
        "Test": [
          "CMD",
          "a",
          "b"
        ],
        "Timeout": 500000000
      },
      "WorkingDir": "/"
    }
    "#);
    insta::assert_snapshot!(history(text), @"- HEALTHCHECK {Test:[CMD a b] Interval:0s Timeout:500ms StartPeriod:0s StartInterval:0s Retries:0}");
}

#[test]
fn ports_come_out_of_variables_and_ranges() {
    let text = "FROM scratch\nENV P=\"3000 4000/udp\"\nEXPOSE $P 7000-7002 127.0.0.1:80:81\n";
    insta::assert_snapshot!(history(text), @r#"
    - ENV P=3000 4000/udp
    - EXPOSE [3000/tcp 4000/udp 81/tcp 7000/tcp 7001/tcp 7002/tcp]
    "#);
}

#[test]
fn working_directories() {
    let text = "FROM a\nWORKDIR rel\nWORKDIR /a//b/../c/\nWORKDIR d\nWORKDIR /\nRUN x\nUSER app\nWORKDIR w\n";
    insta::assert_snapshot!(dumped(text), @r#"
    platform linux/amd64
    image 0: docker.io/library/a:latest linux/amd64
    stage 0: image 0 -> step 4
      step 0 on image 0: [2/6] WORKDIR rel
        make /rel for ""
      step 1 on step 0: [3/6] WORKDIR /a//b/../c/
        make /a/c for ""
      step 2 on step 1: [4/6] WORKDIR d
        make /a/c/d for ""
      step 3 on step 2: [5/6] RUN x
        argv ["/bin/sh", "-c", "x"]
        env ["PATH=/usr/bin"]
        in / as ""
      step 4 on step 3: [6/6] WORKDIR w
        make /w for "app"
      history 0: WORKDIR /rel
      history 1: WORKDIR /a//b/../c/
      history 2: WORKDIR /a/c/d
      history -: WORKDIR /
      history 3: RUN /bin/sh -c x # buildkit
      history -: USER app
      history 4: WORKDIR /w
    "#);
    insta::assert_snapshot!(config("FROM a\nWORKDIR /a//b/../c/\n"), @r#"
    {
      "Env": [
        "PATH=/usr/bin"
      ],
      "WorkingDir": "/a//b/../c/"
    }
    "#);
}

#[test]
fn a_base_working_directory_makes_no_layer() {
    let with_directory = |_: &str| {
        let mut config = base();
        config.config.working_dir = "/srv".into();
        config
    };
    insta::assert_snapshot!(config_with("FROM a\nCOPY x .\n", &options(), &with_directory), @r#"
    {
      "Env": [
        "PATH=/usr/bin"
      ],
      "WorkingDir": "/srv"
    }
    "#);
}

#[test]
fn labels_of_the_command_line_come_last_and_leave_no_history() {
    let labels = vec![("a".to_owned(), "cli".to_owned()), ("c".to_owned(), "3".to_owned())];
    let options = Options { labels, ..options() };
    insta::assert_snapshot!(config_with("FROM scratch\nLABEL a=file b=2\n", &options, &|_| base()), @r#"
    {
      "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
      ],
      "Labels": {
        "a": "cli",
        "b": "2",
        "c": "3"
      },
      "WorkingDir": "/"
    }
    "#);
}

#[test]
fn only_the_target_gets_the_labels_of_the_command_line() {
    let labels = vec![("a".to_owned(), "1".to_owned())];
    let options = Options { labels, ..options() };
    let plan = crate::support::planned_with("FROM a AS b\nFROM scratch\nCOPY --from=b x y\n", &options);
    assert!(plan.stages[0].config.config.labels.is_empty());
    assert_eq!(plan.stages[1].config.config.labels.len(), 1);
}

#[test]
fn onbuild_is_stored_as_text_without_history() {
    insta::assert_snapshot!(config("FROM scratch\nONBUILD  copy  a   b \nONBUILD RUN <<EOF\nhi\nEOF\n"), @r#"
    {
      "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
      ],
      "OnBuild": [
        "copy  a   b",
        "RUN <<EOF\nhi\nEOF"
      ],
      "WorkingDir": "/"
    }
    "#);
    insta::assert_snapshot!(history("FROM scratch\nONBUILD RUN x\n"), @"");
}
