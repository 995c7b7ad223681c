//! Between the engine's events and the terminal: which view to use, where it writes, how large the terminal is.
//!
//! The views themselves are in the crate `ui`.

use std::io::Write;

use jettison_engine::{BuiltImage, event};
use jettison_inspect::brought::Brought;
use jettison_oci::Digest;
use jettison_ui::record::{Record, Recorder};
use jettison_ui::{self as ui, Mode, Origin, Screen, Size, State};

use crate::args::Progress;
use crate::environment;
use crate::failure::Failure;

/// The view of a running build.
#[derive(Debug)]
pub(crate) struct View {
    shown: ui::View,
    recorder: Recorder,
}

impl View {
    /// Starts a view of a build of `dockerfile`, whose text is `source`.
    pub(crate) fn start(mode: Progress, dockerfile: &str, source: &str) -> Self {
        let origin = Origin { name: dockerfile.to_owned(), text: source.to_owned() };
        Self {
            recorder: Recorder::start(origin.clone()),
            shown: ui::View::start(view_mode(mode), State::new("Building", origin), screen()),
        }
    }

    /// What is to be kept of the build.
    pub(crate) fn record(&self) -> Record {
        self.recorder.record()
    }

    /// Ends the view; what it showed last stays.
    pub(crate) fn finish(&self, succeeded: bool) {
        self.shown.finish(succeeded);
    }
}

impl event::Sink for View {
    fn emit(&self, event: event::Event) {
        self.recorder.note(&event);
        self.shown.emit(event);
    }
}

/// The last lines of a build.
pub(crate) fn print_summary(image: &BuiltImage, brought: &[Option<Brought>]) {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(std::io::stderr(), "{}", ui::summary(image, brought));
}

/// Shows `work` as one task with its transfers.
pub(crate) fn transfer<T>(
    mode: Progress,
    title: &str,
    name: &str,
    work: impl FnOnce(&(dyn Fn(&Digest, u64, u64) + Sync)) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let view = ui::View::start(view_mode(mode), State::new(title, Origin::default()), screen());
    let result = view.task(name, work);
    view.finish(result.is_ok());
    result
}

fn view_mode(mode: Progress) -> Mode {
    let mode = view_of(mode);
    if mode == Mode::Terminal {
        restore_terminal_on_panic();
    }
    mode
}

/// A panic ends the program at once; nobody else would show the cursor again.
fn restore_terminal_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = write!(std::io::stderr(), "{}", ui::RESTORE);
            earlier(panic);
        }));
    });
}

fn view_of(mode: Progress) -> Mode {
    match mode {
        Progress::Auto if environment::stderr_is_terminal() => Mode::Terminal,
        Progress::Auto | Progress::Plain => Mode::Plain,
        Progress::Tty => Mode::Terminal,
        Progress::Rawjson => Mode::RawJson,
        Progress::Quiet | Progress::None => Mode::Quiet,
    }
}

fn screen() -> Screen {
    Screen {
        writer: Box::new(std::io::stderr()),
        size: Box::new(|| match rustix::termios::tcgetwinsize(std::io::stderr()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { columns: size.ws_col, rows: size.ws_row }
            }
            _ => Size::default(),
        }),
        colour: environment::stderr_has_colour(),
    }
}
