//! JSON lines.

use jettison_engine::event::Event;
use jettison_ui::{RawJson, State};

use crate::support::{cached, done, ms, output, planned, started, transfer};

fn log(events: &[(u64, Event)]) -> String {
    let mut json = RawJson::new(State::default(), ms(1_700_000_000_000));
    events.iter().map(|(at, event)| json.line(event, ms(*at))).collect()
}

#[test]
fn a_build() {
    let events = [
        (0, planned(&["one", "two"])),
        (5, started(0)),
        (5, cached(0)),
        (10, started(1)),
        (11, output(1, "hi\n")),
        (12, transfer(1, "a", 5, Some(10))),
        (13, transfer(1, "a", 5, None)),
        (1_234, done(1, 1_224)),
        (1_300, Event::Failed { task: 1, elapsed: ms(1) }),
        (1_300, Event::Canceled { task: 0 }),
        (1_300, Event::Notice("remark".into())),
    ];
    insta::assert_snapshot!(log(&events), @r#"
    {"vertexes":[{"digest":"sha256:75d42b2da0564e46d05a117ed58ab26c3dcb5bcbfb642c18f23feb787ebe013d","name":"one"},{"digest":"sha256:49740b6ce1adfb5df1dfd02b2cd70d0c6467ec3e3380e356771d83055180c1ab","name":"two"}]}
    {"vertexes":[{"digest":"sha256:75d42b2da0564e46d05a117ed58ab26c3dcb5bcbfb642c18f23feb787ebe013d","name":"one","started":"2023-11-14T22:13:20.005000000Z"}]}
    {"vertexes":[{"cached":true,"completed":"2023-11-14T22:13:20.005000000Z","digest":"sha256:75d42b2da0564e46d05a117ed58ab26c3dcb5bcbfb642c18f23feb787ebe013d","name":"one","started":"2023-11-14T22:13:20.005000000Z"}]}
    {"vertexes":[{"digest":"sha256:49740b6ce1adfb5df1dfd02b2cd70d0c6467ec3e3380e356771d83055180c1ab","name":"two","started":"2023-11-14T22:13:20.010000000Z"}]}
    {"logs":[{"data":"aGkK","stream":1,"timestamp":"2023-11-14T22:13:20.011000000Z","vertex":"sha256:49740b6ce1adfb5df1dfd02b2cd70d0c6467ec3e3380e356771d83055180c1ab"}]}
    {"statuses":[{"current":5,"id":"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","timestamp":"2023-11-14T22:13:20.012000000Z","total":10,"vertex":"sha256:49740b6ce1adfb5df1dfd02b2cd70d0c6467ec3e3380e356771d83055180c1ab"}]}
    {"statuses":[{"current":5,"id":"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","timestamp":"2023-11-14T22:13:20.013000000Z","total":0,"vertex":"sha256:49740b6ce1adfb5df1dfd02b2cd70d0c6467ec3e3380e356771d83055180c1ab"}]}
    {"vertexes":[{"completed":"2023-11-14T22:13:21.234000000Z","digest":"sha256:49740b6ce1adfb5df1dfd02b2cd70d0c6467ec3e3380e356771d83055180c1ab","name":"two","started":"2023-11-14T22:13:20.010000000Z"}]}
    {"vertexes":[{"completed":"2023-11-14T22:13:21.300000000Z","digest":"sha256:49740b6ce1adfb5df1dfd02b2cd70d0c6467ec3e3380e356771d83055180c1ab","error":"failed","name":"two","started":"2023-11-14T22:13:21.299000000Z"}]}
    {"vertexes":[{"completed":"2023-11-14T22:13:21.300000000Z","digest":"sha256:75d42b2da0564e46d05a117ed58ab26c3dcb5bcbfb642c18f23feb787ebe013d","error":"canceled","name":"one","started":"2023-11-14T22:13:21.300000000Z"}]}
    {"warnings":[{"level":0,"short":"cmVtYXJr"}]}
    "#);
}

#[test]
fn every_line_is_one_json_value() {
    let text = log(&[(0, planned(&["a\nb", "\u{1b}"])), (1, output(0, "\u{0}\n\n")), (2, started(7))]);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert_eq!(text.lines().count(), 3);
}
