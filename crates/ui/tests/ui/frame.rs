//! Frames: what a terminal shows at one moment.

use jettison_engine::event::Event;
use jettison_ui::{Size, State, final_frame, frame};
use proptest::prelude::*;

use crate::support::{SIZE, added, cached, done, ms, output, planned, started, state, text, transfer};

fn build() -> State {
    state(&[
        (
            0,
            planned(&[
                "[build 2/4] ADD . /app",
                "[build 3/4] WORKDIR /app",
                "[build 4/4] RUN go build -o /myserver -ldflags '-s -w' ./cmd/server",
                "[stage-1 1/1] COPY --from=build /myserver /myserver",
            ]),
        ),
        (0, added(4, "unpack golang:1.11")),
        (10, started(4)),
        (900, done(4, 890)),
        (900, started(0)),
        (900, cached(0)),
        (910, started(1)),
        (920, done(1, 10)),
        (1_000, started(2)),
        (1_500, output(2, "go: downloading a\ngo: downloading \u{1b}[31mb\u{1b}[0m\n\nhalf a li")),
    ])
}

#[test]
fn a_build_in_the_middle() {
    insta::assert_snapshot!(text(&frame(&build(), SIZE, ms(3_250))), @r#"
    [+] Building 3.2s (3/5)
     => unpack golang:1.11                                  0.8s
     => CACHED [build 2/4] ADD . /app                       0.0s
     => [build 3/4] WORKDIR /app                            0.0s
     => [build 4/4] RUN go build -o /myserver -ldflags '-…  2.2s
     => => # go: downloading a
     => => # go: downloading b
     => => # half a li
    "#);
}

#[test]
fn a_build_that_ended() {
    let mut state = build();
    state.apply(&done(2, 12_340), ms(13_340));
    state.apply(&started(3), ms(13_340));
    state.apply(&done(3, 99), ms(13_440));
    insta::assert_snapshot!(text(&final_frame(&state, SIZE, ms(13_440), true)), @r#"
    [+] Building 13.4s (5/5) FINISHED
     => unpack golang:1.11                                  0.8s
     => CACHED [build 2/4] ADD . /app                       0.0s
     => [build 3/4] WORKDIR /app                            0.0s
     => [build 4/4] RUN go build -o /myserver -ldflags '…  12.3s
     => [stage-1 1/1] COPY --from=build /myserver /myserv…  0.0s
    "#);
}

#[test]
fn a_build_that_failed() {
    let mut state = build();
    state.apply(&Event::Failed { task: 2, elapsed: ms(500) }, ms(1_500));
    state.apply(&Event::Canceled { task: 3 }, ms(1_500));
    insta::assert_snapshot!(text(&final_frame(&state, SIZE, ms(1_500), false)), @r#"
    [+] Building 1.5s (5/5) FAILED
     => unpack golang:1.11                                  0.8s
     => CACHED [build 2/4] ADD . /app                       0.0s
     => [build 3/4] WORKDIR /app                            0.0s
     => ERROR [build 4/4] RUN go build -o /myserver -ldfl…  0.5s
    "#);
}

#[test]
fn the_header_says_what_is_being_done() {
    let state = State::new("Pulling", jettison_ui::Origin::default());
    assert_eq!(text(&frame(&state, SIZE, ms(0))), "[+] Pulling 0.0s (0/0)");
}

#[test]
fn transfers() {
    let state = state(&[
        (0, added(0, "pull golang:1.11")),
        (0, added(1, "push x")),
        (0, started(0)),
        (100, transfer(0, "a", 1_000_000, Some(45_000_000))),
        (100, transfer(0, "b", 30_000_000, Some(30_000_000))),
        (100, transfer(0, "c", 50_300_000, Some(100_000_000))),
        (200, transfer(0, "a", 22_500_000, Some(45_000_000))),
        (200, started(1)),
        (300, transfer(1, "d", 7_000, None)),
    ]);
    insta::assert_snapshot!(text(&frame(&state, SIZE, ms(2_000))), @r#"
    [+] Building 2.0s (0/2)
     => pull golang:1.11                     103MB / 175MB  2.0s
     => => ca978112ca1b ━━━━━━━━━━────────── 22.5MB / 45MB
     => => 2e7d2c03a950 ━━━━━━━━━━────────── 50.3MB / 100MB
     => push x                                         7kB  1.8s
     => => 18ac3e7343f0 7kB
    "#);
}

#[test]
fn a_finished_transfer_says_how_much_it_was() {
    let state = state(&[
        (0, added(0, "pull golang:1.11")),
        (0, started(0)),
        (100, transfer(0, "a", 45_000_000, Some(45_000_000))),
        (200, done(0, 200)),
    ]);
    insta::assert_snapshot!(text(&final_frame(&state, SIZE, ms(200), true)), @r#"
    [+] Building 0.2s (1/1) FINISHED
     => pull golang:1.11                              45MB  0.2s
    "#);
}

#[test]
fn what_is_too_tall_folds_finished_tasks_first() {
    let mut state = State::default();
    for task in 0..20 {
        state.apply(&added(task, &format!("step {task}")), ms(0));
        state.apply(&started(task), ms(0));
        state.apply(&if task % 2 == 0 { cached(task) } else { done(task, 100) }, ms(0));
    }
    for task in 20..22 {
        state.apply(&added(task, &format!("step {task}")), ms(0));
        state.apply(&started(task), ms(0));
        state.apply(&output(task, "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"), ms(0));
    }
    let at = |rows| text(&frame(&state, Size { columns: 50, rows }, ms(1_000)));
    insta::assert_snapshot!(at(24), @r#"
    [+] Building 1.0s (20/22)
     => 13 finished, 7 of them cached
     => step 13                                   0.1s
     => CACHED step 14                            0.0s
     => step 15                                   0.1s
     => CACHED step 16                            0.0s
     => step 17                                   0.1s
     => CACHED step 18                            0.0s
     => step 19                                   0.1s
     => step 20                                   1.0s
     => => # three
     => => # four
     => => # five
     => => # six
     => => # seven
     => => # eight
     => step 21                                   1.0s
     => => # three
     => => # four
     => => # five
     => => # six
     => => # seven
     => => # eight
    "#);
    insta::assert_snapshot!(at(12), @r#"
    [+] Building 1.0s (20/22)
     => 17 finished, 9 of them cached
     => step 17                                   0.1s
     => CACHED step 18                            0.0s
     => step 19                                   0.1s
     => step 20                                   1.0s
     => => # seven
     => => # eight
     => step 21                                   1.0s
     => => # seven
     => => # eight
    "#);
    insta::assert_snapshot!(at(6), @r#"
    [+] Building 1.0s (20/22)
     => 19 finished, 10 of them cached
     => step 19                                   0.1s
     => step 20                                   1.0s
     => step 21                                   1.0s
    "#);
    insta::assert_snapshot!(at(1), @r#"
    [+] Building 1.0s (20/22)
     => 2 more
    "#);
}

#[test]
fn more_running_tasks_than_rows() {
    let mut state = State::default();
    for task in 0..9 {
        state.apply(&added(task, &format!("step {task}")), ms(0));
        state.apply(&started(task), ms(0));
    }
    insta::assert_snapshot!(text(&frame(&state, Size { columns: 30, rows: 7 }, ms(1_000))), @r#"
    [+] Building 1.0s (0/9)
     => step 0                1.0s
     => step 1                1.0s
     => step 2                1.0s
     => step 3                1.0s
     => 5 more
    "#);
}

#[test]
fn remarks_stand_below() {
    let mut state = build();
    for n in 0..5 {
        state.apply(&Event::Notice(format!("remark {n}")), ms(0));
    }
    insta::assert_snapshot!(text(&frame(&state, Size { columns: 60, rows: 10 }, ms(2_000))), @r#"
    [+] Building 2.0s (3/5)
     => unpack golang:1.11                                  0.8s
     => CACHED [build 2/4] ADD . /app                       0.0s
     => [build 3/4] WORKDIR /app                            0.0s
     => [build 4/4] RUN go build -o /myserver -ldflags '-…  1.0s
     => => # go: downloading b
     => => # half a li
     ! remark 3
     ! remark 4
    "#);
    assert!(text(&final_frame(&state, SIZE, ms(2_000), true)).contains("remark 0"));
}

#[test]
fn a_long_running_time() {
    let state = state(&[(0, added(0, "x")), (0, started(0))]);
    insta::assert_snapshot!(text(&frame(&state, Size { columns: 30, rows: 9 }, ms(3_725_000))), @r#"
    [+] Building 3725.0s (0/1)
     => x                  3725.0s
    "#);
}

#[test]
fn a_narrow_terminal_cuts_names_not_times() {
    insta::assert_snapshot!(text(&frame(&build(), Size { columns: 24, rows: 24 }, ms(3_250))), @r#"
    [+] Building 3.2s (3/5)
     => unpack golang…  0.8s
     => CACHED [build…  0.0s
     => [build 3/4] W…  0.0s
     => [build 4/4] R…  2.2s
     => => # go: downloadin…
     => => # go: downloadin…
     => => # half a li
    "#);
}

#[test]
fn colours_say_what_is_what() {
    let mut state = build();
    state.apply(&Event::Failed { task: 2, elapsed: ms(500) }, ms(1_500));
    let lines = final_frame(&state, SIZE, ms(1_500), false);
    let ansi: Vec<String> = lines.iter().map(|line| line.ansi().replace('\u{1b}', "ESC")).collect();
    insta::assert_snapshot!(ansi.join("\n"), @r#"
    [+] Building 1.5s (4/5) FAILED
    ESC[34m => unpack golang:1.11ESC[0m                                  0.8s
    ESC[34m => CACHED [build 2/4] ADD . /appESC[0m                       0.0s
    ESC[34m => [build 3/4] WORKDIR /appESC[0m                            0.0s
    ESC[1mESC[31m => ERROR [build 4/4] RUN go build -o /myserver -ldfl…ESC[0m  0.5s
    "#);
}

fn event() -> impl Strategy<Value = Event> {
    let task = 0_usize..12;
    prop_oneof![
        (task.clone(), "\\PC{0,80}").prop_map(|(task, name)| added(task, &name)),
        task.clone().prop_map(started),
        task.clone().prop_map(|task| done(task, 5)),
        task.clone().prop_map(|task| Event::Failed { task, elapsed: ms(1) }),
        task.clone().prop_map(|task| Event::Canceled { task }),
        (task.clone(), "(\\PC|\\n|\\r|\\x1b){0,80}").prop_map(|(task, text)| output(task, &text)),
        (task, "[a-d]", any::<u64>(), any::<Option<u64>>()).prop_map(|(task, blob, done, total)| transfer(
            task,
            &blob,
            done / 16,
            total.map(|t| t / 16)
        )),
        "\\PC{0,80}".prop_map(Event::Notice),
    ]
}

proptest! {
    /// Whatever happens in whatever order: a frame fits the screen and steers nothing.
    #[test]
    fn frames_fit(events in prop::collection::vec(event(), 0..60), columns in 1_u16..120, rows in 1_u16..40) {
        let mut state = State::default();
        for event in &events {
            state.apply(event, ms(1));
        }
        let lines = frame(&state, Size { columns, rows }, ms(5));
        prop_assert!(lines.len() < usize::from(rows.max(3)), "{} lines in {rows} rows", lines.len());
        let all = final_frame(&state, Size { columns, rows }, ms(5), true);
        for line in lines.iter().chain(&all) {
            prop_assert!(!line.plain().chars().any(char::is_control));
        }
    }
}
