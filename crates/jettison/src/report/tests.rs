//! Whole reports of one file that has a bit of everything.

use jettison_dockerfile::{Diagnostic, Span, lint};
use jettison_engine::Checked;
use jettison_plan::survey::{self, Stages, Survey};
use jettison_plan::{Images, Options};

use super::{json, sarif, text};
use crate::snippet::Source;

const FILE: &str = "# check=skip=JSONArgsRecommended\nFROM scratch AS Builder\nCOPY \\\n\n  é$x /\r\nCMD x\n";

fn checked(text: &str) -> Checked {
    let file = jettison_dockerfile::parse(text.as_bytes()).dockerfile;
    let (options, images) = (Options::default(), Images::default());
    let (mut linter, _) = survey::linter(&file, &options).unwrap();
    lint::check_text(&file, &mut linter);
    let survey =
        Survey { file: &file, options: &options, images: &images, ignore: None, stages: Stages::All };
    survey::survey(&survey, &mut linter);
    Checked { findings: linter.into_findings(), ..Checked::default() }
}

#[test]
fn for_people() {
    let source = Source::new("Dockerfile", FILE);
    insta::assert_snapshot!(text::findings(&source, &checked(FILE), false), @r#"
    warning[StageNameCasing]: Dockerfile:2:17: Stage name 'Builder' should be lowercase
      |
    2 | FROM scratch AS Builder
      |                 ^^^^^^^
      |
      = note: Stage names should be lowercase
      = help: https://docs.docker.com/go/dockerfile/rule/stage-name-casing/

    warning[NoEmptyContinuation]: Dockerfile:4:1: Empty continuation line
      |
    4 |
      | ^
      |
      = note: Empty continuation lines will become errors in a future release
      = help: https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/

    warning[UndefinedVar]: Dockerfile:5:3: Usage of undefined variable '$x'
      |
    5 |   é$x /
      |   ^^^
      |
      = note: Variables should be defined before their use
      = help: https://docs.docker.com/go/dockerfile/rule/undefined-var/

    Check complete, 3 warnings have been found!
    "#);
    insta::assert_snapshot!(text::findings(&source, &Checked::default(), false), @"Check complete, no warnings found.");
}

#[test]
fn remarks() {
    let file = "# sintax=x\nFROM golang\n";
    let source = Source::new("app/Dockerfile", file);
    let remark =
        Diagnostic::warning("unknown-directive", "unknown parser directive", Span { start: 0, end: 10 });
    let reference = "golang".parse().unwrap();
    let image = jettison_plan::Image {
        reference,
        platform: jettison_oci::Platform::new("linux", "amd64", None),
        span: Span { start: 16, end: 22 },
    };
    let error = jettison_engine::Error::NoSuchImage("golang:latest".to_owned());
    let checked = Checked {
        remarks: vec![remark.with_hint("did you mean syntax?")],
        unknown_bases: vec![(image, error)],
        dropped: 3,
        ..Checked::default()
    };
    insta::assert_snapshot!(text::remarks(&source, &checked, false), @r#"
    warning: app/Dockerfile:1:1: unknown parser directive
      |
    1 | # sintax=x
      | ^^^^^^^^^^
      |
      = help: did you mean syntax?
    note: app/Dockerfile:2:6: no image golang:latest in the store; the variables of golang:latest are not known, so no variable is called undefined in stages on it
    note: 3 more findings are not shown
    "#);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a whole document")]
fn as_buildkit_writes_it() {
    let source = Source::new("Dockerfile", FILE);
    let mut checked = checked(FILE);
    checked.errors.push(Diagnostic::error("copy", "wrong", Span { start: 55, end: 60 }));
    insta::assert_snapshot!(json::document(&source, &checked), @r#"
    {
      "buildError": {
        "location": {
          "ranges": [
            {
              "end": {
                "line": 3
              },
              "start": {
                "line": 2
              }
            }
          ]
        },
        "message": "dockerfile parse error on line 2: wrong"
      },
      "sources": [
        {
          "data": "IyBjaGVjaz1za2lwPUpTT05BcmdzUmVjb21tZW5kZWQKRlJPTSBzY3JhdGNoIEFTIEJ1aWxkZXIKQ09QWSBcCgogIMOpJHggLw0KQ01EIHgK",
          "filename": "Dockerfile",
          "language": "Dockerfile"
        }
      ],
      "warnings": [
        {
          "description": "Stage names should be lowercase",
          "detail": "Stage name 'Builder' should be lowercase",
          "location": {
            "ranges": [
              {
                "end": {
                  "line": 2
                },
                "start": {
                  "line": 2
                }
              }
            ]
          },
          "ruleName": "StageNameCasing",
          "url": "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/"
        },
        {
          "description": "Variables should be defined before their use",
          "detail": "Usage of undefined variable '$x'",
          "location": {
            "ranges": [
              {
                "end": {
                  "line": 5
                },
                "start": {
                  "line": 3
                }
              }
            ]
          },
          "ruleName": "UndefinedVar",
          "url": "https://docs.docker.com/go/dockerfile/rule/undefined-var/"
        },
        {
          "description": "Empty continuation lines will become errors in a future release",
          "detail": "Empty continuation line",
          "location": {
            "ranges": [
              {
                "end": {
                  "line": 5
                },
                "start": {
                  "line": 5
                }
              }
            ]
          },
          "ruleName": "NoEmptyContinuation",
          "url": "https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/"
        }
      ]
    }
    "#);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a whole document")]
fn as_sarif() {
    let source = Source::new("my app/Dockerfile", FILE);
    let mut checked = checked(FILE);
    checked.errors.push(Diagnostic::error("copy", "wrong", Span { start: 55, end: 60 }));
    let document: serde_json::Value = serde_json::from_str(&sarif::document(&source, &checked)).unwrap();
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 22);
    insta::assert_snapshot!(format!("{:#}", run["tool"]["driver"]["rules"][0]), @r#"
    {
      "defaultConfiguration": {
        "enabled": true,
        "level": "warning"
      },
      "helpUri": "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
      "id": "StageNameCasing",
      "shortDescription": {
        "text": "Stage names should be lowercase"
      }
    }
    "#);
    insta::assert_snapshot!(format!("{:#}", run["results"]), @r#"
    [
      {
        "level": "error",
        "locations": [
          {
            "physicalLocation": {
              "artifactLocation": {
                "uri": "my%20app/Dockerfile"
              },
              "region": {
                "endColumn": 4,
                "endLine": 3,
                "startColumn": 23,
                "startLine": 2
              }
            }
          }
        ],
        "message": {
          "text": "wrong"
        },
        "ruleId": "copy"
      },
      {
        "level": "warning",
        "locations": [
          {
            "physicalLocation": {
              "artifactLocation": {
                "uri": "my%20app/Dockerfile"
              },
              "region": {
                "endColumn": 24,
                "endLine": 2,
                "startColumn": 17,
                "startLine": 2
              }
            }
          }
        ],
        "message": {
          "text": "Stage name 'Builder' should be lowercase"
        },
        "ruleId": "StageNameCasing",
        "ruleIndex": 0
      },
      {
        "level": "warning",
        "locations": [
          {
            "physicalLocation": {
              "artifactLocation": {
                "uri": "my%20app/Dockerfile"
              },
              "region": {
                "endColumn": 6,
                "endLine": 5,
                "startColumn": 3,
                "startLine": 5
              }
            }
          }
        ],
        "message": {
          "text": "Usage of undefined variable '$x'"
        },
        "ruleId": "UndefinedVar",
        "ruleIndex": 10
      },
      {
        "level": "warning",
        "locations": [
          {
            "physicalLocation": {
              "artifactLocation": {
                "uri": "my%20app/Dockerfile"
              },
              "region": {
                "endColumn": 1,
                "endLine": 4,
                "startColumn": 1,
                "startLine": 4
              }
            }
          }
        ],
        "message": {
          "text": "Empty continuation line"
        },
        "ruleId": "NoEmptyContinuation",
        "ruleIndex": 2
      }
    ]
    "#);
}
