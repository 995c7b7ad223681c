//! Plain text.

use jettison_engine::event::{Event, Stream};
use jettison_ui::{Plain, State};

use crate::support::{added, cached, done, ms, output, planned, started, transfer};

fn log(colour: bool, events: &[(u64, Event)]) -> String {
    let mut plain = Plain::new(State::default(), colour);
    events.iter().map(|(at, event)| plain.lines(event, ms(*at))).collect()
}

#[test]
fn a_build() {
    let events = [
        (0, planned(&["[build 2/4] RUN one", "[build 3/4] RUN two", "[build 4/4] RUN three"])),
        (5, started(0)),
        (5, cached(0)),
        (10, started(1)),
        (15, started(2)),
        (133, output(1, "hello\nhalf ")),
        (140, output(2, "other\n")),
        (150, output(1, "a line\r\n\nlast without end")),
        (1_234, done(1, 1_224)),
        (1_300, Event::Output { task: 2, stream: Stream::Stderr, bytes: b"boom\n".to_vec() }),
        (1_400, Event::Failed { task: 2, elapsed: ms(1_385) }),
        (1_400, Event::Canceled { task: 0 }),
    ];
    insta::assert_snapshot!(log(false, &events), @r#"
    #1 [build 2/4] RUN one
    #1 CACHED
    #2 [build 3/4] RUN two
    #3 [build 4/4] RUN three
    #2 0.123 hello
    #3 0.125 other
    #2 0.140 half a line
    #2 0.140
    #2 1.224 last without end
    #2 DONE 1.2s
    #3 1.285 boom
    #3 ERROR 1.4s
    #1 CANCELED
    "#);
}

#[test]
fn transfers_are_reported_now_and_then() {
    let events = [
        (0, added(0, "pull golang:1.11")),
        (0, started(0)),
        (1_000, transfer(0, "a", 1_000_000, Some(50_000_000))),
        (2_000, transfer(0, "a", 2_000_000, Some(50_000_000))),
        (6_500, transfer(0, "a", 20_000_000, Some(50_000_000))),
        (7_000, transfer(0, "a", 21_000_000, Some(50_000_000))),
        (9_000, transfer(0, "a", 50_000_000, Some(50_000_000))),
        (9_100, done(0, 9_100)),
    ];
    insta::assert_snapshot!(log(false, &events), @r#"
    #1 pull golang:1.11
    #1 20MB / 50MB
    #1 50MB
    #1 DONE 9.1s
    "#);
}

#[test]
fn notices() {
    insta::assert_snapshot!(log(false, &[(0, Event::Notice("one thing".into())), (1, started(0))]), @r#"
    one thing
    #1
    "#);
}

#[test]
fn output_may_be_coloured_but_not_more() {
    let events = [(0, started(0)), (0, output(0, "\u{1b}[32mgreen\u{1b}[2J\n10%\r99%\n"))];
    assert_eq!(log(true, &events), "#1\n#1 0.000 \u{1b}[32mgreen\u{1b}[0m\n#1 0.000 99%\n");
    assert_eq!(log(false, &events), "#1\n#1 0.000 green\n#1 0.000 99%\n");
}

#[test]
fn no_output_is_left_out() {
    let lines = 100_000;
    let bytes = "x\n".repeat(lines);
    let text = log(false, &[(0, started(0)), (0, output(0, &bytes))]);
    assert_eq!(text.lines().count(), lines + 1);
}
