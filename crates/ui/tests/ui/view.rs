//! The running view, on a writer that remembers.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jettison_engine::event::Sink;
use jettison_oci::Digest;
use jettison_ui::{Mode, Screen, State, View};

use crate::support::{SIZE, cached, ms, output, planned, started};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panics").clone()).expect("we write UTF-8")
    }

    fn screen(&self, colour: bool) -> Screen {
        Screen { writer: Box::new(self.clone()), size: Box::new(|| SIZE), colour }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const SHOW_CURSOR: &str = "\u{1b}[?25h";
const BEGIN: &str = "\u{1b}[?2026h";

#[test]
fn a_short_build_shows_one_final_frame() {
    let memory = Memory::default();
    let view = View::start(Mode::Terminal, State::default(), memory.screen(false));
    view.emit(planned(&["one"]));
    view.emit(started(0));
    view.emit(cached(0));
    view.finish(true);
    let text = memory.text();
    assert_eq!(text.matches(BEGIN).count(), 1);
    assert!(text.contains("FINISHED") && text.contains(" => CACHED one"));
    assert!(text.ends_with(SHOW_CURSOR));
}

#[test]
fn what_is_dropped_gives_the_cursor_back() {
    let memory = Memory::default();
    let view = View::start(Mode::Terminal, State::default(), memory.screen(true));
    view.emit(planned(&["one"]));
    view.emit(started(0));
    std::thread::sleep(ms(150));
    drop(view);
    assert!(memory.text().ends_with(SHOW_CURSOR));
    assert!(memory.text().contains("FAILED"));
}

#[test]
fn frames_are_at_most_thirty_a_second() {
    let memory = Memory::default();
    let view = View::start(Mode::Terminal, State::default(), memory.screen(false));
    view.emit(planned(&["one"]));
    view.emit(started(0));
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_millis(400) {
        view.emit(output(0, "x\n"));
        std::thread::sleep(Duration::from_micros(200));
    }
    view.finish(true);
    let frames = memory.text().matches(BEGIN).count();
    let most = 2 + begin.elapsed().as_millis() as usize / 33;
    assert!((2..=most).contains(&frames), "{frames} frames in {:?}", begin.elapsed());
}

#[test]
fn nothing_begun_nothing_shown() {
    let memory = Memory::default();
    View::start(Mode::Terminal, State::default(), memory.screen(false)).finish(false);
    assert!(!memory.text().contains("Building"), "{:?}", memory.text());
}

#[test]
fn quiet_is_silent_and_the_others_are_lines() {
    for (mode, want) in [(Mode::Quiet, 0), (Mode::Plain, 2), (Mode::RawJson, 3)] {
        let memory = Memory::default();
        let view = View::start(mode, State::default(), memory.screen(false));
        for event in [planned(&["one"]), started(0), cached(0)] {
            view.emit(event);
        }
        view.finish(true);
        assert_eq!(memory.text().lines().count(), want, "{mode:?}");
    }
}

#[test]
fn a_closed_reader_does_not_stop_the_work() {
    for mode in [Mode::Terminal, Mode::Plain, Mode::RawJson] {
        let screen = Screen { writer: Box::new(Closed), size: Box::new(|| SIZE), colour: false };
        let view = View::start(mode, State::default(), screen);
        view.emit(started(0));
        std::thread::sleep(ms(110));
        view.emit(cached(0));
        view.finish(true);
    }
}

#[test]
fn work_that_is_no_build_is_one_task() {
    let memory = Memory::default();
    let view = View::start(Mode::Plain, State::default(), memory.screen(false));
    let result: Result<u8, ()> = view.task("pull x", |progress| {
        progress(&Digest::sha256(b"a"), 10, 10);
        Ok(7)
    });
    assert_eq!(result, Ok(7));
    let failed: Result<(), &str> = view.task("push y", |_| Err("no"));
    assert_eq!(failed, Err("no"));
    let text = memory.text();
    let shown: Vec<&str> = text.lines().map(|line| line.split_once('.').map_or(line, |(l, _)| l)).collect();
    assert_eq!(shown, ["#1 pull x", "#1 10B", "#1 DONE 0", "#2 push y", "#2 ERROR 0"]);
}

#[test]
fn many_threads_may_emit() {
    let memory = Memory::default();
    let view = View::start(Mode::Plain, State::default(), memory.screen(false));
    view.emit(planned(&["a", "b", "c", "d"]));
    std::thread::scope(|scope| {
        for task in 0..4 {
            let view = &view;
            scope.spawn(move || {
                view.emit(started(task));
                for _ in 0..100 {
                    view.emit(output(task, "line\n"));
                }
            });
        }
    });
    view.finish(true);
    assert_eq!(memory.text().lines().count(), 404);
    assert!(memory.text().lines().all(|line| line.starts_with('#')));
}
