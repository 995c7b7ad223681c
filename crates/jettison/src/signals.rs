//! SIGINT, SIGTERM and SIGHUP: stop everything, within a second, and exit with 128 plus the signal. SIGXFSZ: nothing, so
//! that a file beyond the limit of `ulimit -f` is an error with a name.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use jettison_engine::Cancel;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

/// How long an orderly end may take before the process just ends. Whatever is left then is cleaned by the next
/// command that opens the store; the kernel ends steps with their parent.
const PATIENCE: Duration = Duration::from_millis(800);

static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// Starts to listen.
pub(crate) fn listen(cancel: &Cancel) -> std::io::Result<()> {
    // A handler and not "ignored": programs that are started here begin with the default again.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let cancel = cancel.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if RECEIVED.swap(signal, Ordering::SeqCst) != 0 {
                std::process::exit(128 + signal);
            }
            cancel.raise();
            std::thread::spawn(move || {
                std::thread::sleep(PATIENCE);
                std::process::exit(128 + signal);
            });
        }
    })?;
    Ok(())
}

/// The exit code for the signal that was received, if one was.
pub(crate) fn exit_code() -> Option<u8> {
    match RECEIVED.load(Ordering::SeqCst) {
        0 => None,
        signal => u8::try_from(128 + signal).ok(),
    }
}
