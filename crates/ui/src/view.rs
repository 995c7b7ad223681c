//! A running view: takes events from any thread, shows them on a writer, and gives the terminal back in the end.
//!
//! The only file here with a clock and a thread. The live view paints at most 30 times a second, and for the first
//! time after 100 ms: a build that the cache answers shows one final frame and no flicker. There is no raw mode;
//! whatever happens, dropping the view shows the cursor again.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use jettison_engine::event::{Event, Sink, TaskId};
use jettison_oci::Digest;

use crate::frame::{Size, final_frame, frame};
use crate::model::State;
use crate::painter::Painter;
use crate::plain::Plain;
use crate::rawjson::RawJson;

/// Least time between two frames: 30 a second.
const FRAME_INTERVAL: Duration = Duration::from_millis(33);
/// On top of that, time until a frame in which only the clocks move: ten of them a second.
const CLOCK_INTERVAL: Duration = Duration::from_millis(67);
/// What is over before shows a final frame only.
const FIRST_FRAME_AFTER: Duration = Duration::from_millis(100);

/// How a build is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A live view, repainted.
    Terminal,
    /// Lines of text.
    #[default]
    Plain,
    /// Lines of JSON.
    RawJson,
    /// Nothing.
    Quiet,
}

/// Where and how to write.
pub struct Screen {
    /// Receives everything that is shown.
    pub writer: Box<dyn Write + Send>,
    /// The terminal's size, asked before each frame.
    pub size: Box<dyn Fn() -> Size + Send>,
    /// Whether colours are wanted (NO_COLOR, terminal or not: the caller knows).
    pub colour: bool,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("colour", &self.colour).finish_non_exhaustive()
    }
}

/// A running view.
#[derive(Debug)]
pub struct View {
    start: Instant,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Terminal {
        shared: Arc<Shared>,
        painter: Mutex<Option<JoinHandle<()>>>,
    },
    Plain(Mutex<(Plain, Screen)>),
    RawJson(Mutex<(RawJson, Screen)>),
    /// Still counts tasks, so that ids stay right.
    Quiet(Mutex<State>),
}

#[derive(Debug, Default)]
struct Shared {
    live: Mutex<Live>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Live {
    state: State,
    dirty: bool,
    /// Set once: whether the work succeeded.
    outcome: Option<bool>,
}

impl View {
    /// Starts a view of what happens to `state`: [`State::new`] says what is being done, and from which Dockerfile.
    pub fn start(mode: Mode, state: State, screen: Screen) -> Self {
        let start = Instant::now();
        let kind = match mode {
            Mode::Terminal => {
                let live = Live { state, ..Live::default() };
                let shared = Arc::new(Shared { live: Mutex::new(live), changed: Condvar::new() });
                let painter = std::thread::spawn({
                    let shared = Arc::clone(&shared);
                    move || paint_until_over(&shared, screen, start)
                });
                Kind::Terminal { shared, painter: Mutex::new(Some(painter)) }
            }
            Mode::Plain => Kind::Plain(Mutex::new((Plain::new(state, screen.colour), screen))),
            Mode::RawJson => {
                let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Kind::RawJson(Mutex::new((RawJson::new(state, epoch), screen)))
            }
            Mode::Quiet => Kind::Quiet(Mutex::new(state)),
        };
        Self { start, kind }
    }

    /// Ends the view: the last frame stays. Events that come later are not shown.
    pub fn finish(&self, succeeded: bool) {
        if let Kind::Terminal { shared, painter } = &self.kind {
            lock(&shared.live).outcome.get_or_insert(succeeded);
            shared.changed.notify_all();
            if let Some(painter) = lock(painter).take() {
                // A painter that panicked has nothing more to show.
                let _ = painter.join();
            }
        }
    }

    /// Shows work that is no build, such as a pull, as one task called `name`, with a progress callback
    /// (blob, bytes so far, bytes in all) for it.
    pub fn task<T, E>(
        &self,
        name: &str,
        work: impl FnOnce(&(dyn Fn(&Digest, u64, u64) + Sync)) -> Result<T, E>,
    ) -> Result<T, E> {
        let task = self.task_count();
        let start = Instant::now();
        self.emit(Event::TaskAdded { task, name: name.to_owned() });
        self.emit(Event::Started { task });
        let result = work(&|digest, done_bytes, total_bytes| {
            let total_bytes = Some(total_bytes);
            self.emit(Event::Transfer { task, digest: digest.clone(), done_bytes, total_bytes });
        });
        let elapsed = start.elapsed();
        self.emit(match &result {
            Ok(_) => Event::Finished { task, elapsed, cached: false },
            Err(_) => Event::Failed { task, elapsed },
        });
        result
    }

    fn task_count(&self) -> TaskId {
        match &self.kind {
            Kind::Terminal { shared, .. } => lock(&shared.live).state.tasks().len(),
            Kind::Plain(plain) => lock(plain).0.state().tasks().len(),
            Kind::RawJson(json) => lock(json).0.state().tasks().len(),
            Kind::Quiet(state) => lock(state).tasks().len(),
        }
    }
}

impl Sink for View {
    fn emit(&self, event: Event) {
        let now = self.start.elapsed();
        match &self.kind {
            Kind::Terminal { shared, .. } => {
                let mut live = lock(&shared.live);
                live.state.apply(&event, now);
                // The painter wakes up by itself; only the first change has to wake it.
                if !std::mem::replace(&mut live.dirty, true) {
                    shared.changed.notify_all();
                }
            }
            // Whoever closed the other end does not want to know more.
            Kind::Plain(plain) => {
                let (plain, screen) = &mut *lock(plain);
                let _ = write(&mut screen.writer, &plain.lines(&event, now));
            }
            Kind::RawJson(json) => {
                let (json, screen) = &mut *lock(json);
                let _ = write(&mut screen.writer, &json.line(&event, now));
            }
            Kind::Quiet(state) => {
                lock(state).apply(&event, now);
            }
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.finish(false);
    }
}

/// The body of the painter's thread.
fn paint_until_over(shared: &Shared, mut screen: Screen, start: Instant) {
    let mut painter = Painter::default();
    let mut wait = FIRST_FRAME_AFTER;
    loop {
        let mut live = wait_for_turn(shared, wait);
        wait = FRAME_INTERVAL;
        live.dirty = false;
        let (size, now, outcome) = ((screen.size)(), start.elapsed(), live.outcome);
        let lines = match outcome {
            // Nothing began: whoever failed that early says so elsewhere.
            Some(_) if live.state.tasks().is_empty() && live.state.remarks().is_empty() => Vec::new(),
            Some(succeeded) => final_frame(&live.state, size, now, succeeded),
            None => frame(&live.state, size, now),
        };
        drop(live);
        let written = write(&mut screen.writer, &painter.paint(&lines, size, screen.colour));
        if outcome.is_some() || written.is_err() {
            let _ = write(&mut screen.writer, &painter.release());
            return;
        }
    }
}

/// Waits for `pace`, then until something changes or the clocks have to move on; the end comes at once.
fn wait_for_turn(shared: &Shared, pace: Duration) -> MutexGuard<'_, Live> {
    let wait = |live, time, on: fn(&mut Live) -> bool| {
        shared.changed.wait_timeout_while(live, time, on).unwrap_or_else(PoisonError::into_inner).0
    };
    let live = wait(lock(&shared.live), pace, |live| live.outcome.is_none());
    wait(live, CLOCK_INTERVAL, |live| live.outcome.is_none() && !live.dirty)
}

fn write(writer: &mut dyn Write, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    writer.write_all(text.as_bytes())?;
    writer.flush()
}

/// A panic elsewhere does not make what is shown wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
