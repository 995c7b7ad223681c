//! Starting programs, and ending them whatever happens.
//!
//! Every program is started here, so that all of them are known: when we end (by an error, a panic, Ctrl-C or
//! SIGTERM), what still runs is ended and temporary folders are removed (`scratch.rs`). Programs that stay in the
//! background get a process group of their own and, through util-linux's `setpriv`, the kernel's promise to end them
//! if we are killed outright.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::scratch;

/// How long a program may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// How often we look whether a program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A program that runs: its process id, and whether it leads a group.
#[derive(Clone, Copy, PartialEq)]
struct Running {
    pid: Pid,
    group: bool,
}

impl Running {
    fn signal(self, signal: Signal) {
        // It may have ended meanwhile, which is what we want.
        let _ =
            if self.group { kill_process_group(self.pid, signal) } else { kill_process(self.pid, signal) };
    }
}

static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());

fn running() -> std::sync::MutexGuard<'static, Vec<Running>> {
    RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A child process that does not outlive its owner.
pub struct Guarded {
    child: Child,
    entry: Running,
    name: String,
    ended: bool,
}

impl Guarded {
    /// Starts a program in our own process group, as a shell does for what it waits for.
    pub fn start(command: &mut Command) -> Result<Self> {
        Self::spawn(command, false)
    }

    /// Starts a program that leads a process group, so that it can be killed with all that it has started.
    pub fn start_group(command: &mut Command) -> Result<Self> {
        Self::spawn(command, true)
    }

    /// Starts a program that is to run while we do other things; what it says goes to the file `log`. To be called
    /// from the main thread: the kernel takes the end of the starting thread for our end.
    pub fn start_in_background(command: &Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = ended_with_us(command);
        command.stdout(file.try_clone()?).stderr(file);
        Self::spawn(&mut command, true)
    }

    fn spawn(command: &mut Command, group: bool) -> Result<Self> {
        use std::os::unix::process::CommandExt;
        let name = describe(command);
        if group {
            command.process_group(0);
        }
        command.stdin(Stdio::null());
        // The list is locked while the process appears, so a signal in between cannot miss it.
        let mut list = running();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let pid = Pid::from_child(&child);
        let entry = Running { pid, group };
        list.push(entry);
        drop(list);
        Ok(Self { child, entry, name, ended: false })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, if it was piped; once.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        self.forget();
        Ok(status)
    }

    /// How it ended, if it has.
    pub fn poll(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))?;
        if status.is_some() {
            self.forget();
        }
        Ok(status)
    }

    /// Waits for its end, and gives up after a while.
    pub fn wait_at_most(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.poll()? {
                return Ok(Some(status));
            }
            if start.elapsed() > limit {
                return Ok(None);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Asks it to end (SIGTERM), waits, and kills it if it does not.
    pub fn stop(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended {
            return Ok(None);
        }
        self.entry.signal(Signal::TERM);
        if let Some(status) = self.wait_at_most(GRACE)? {
            return Ok(Some(status));
        }
        self.entry.signal(Signal::KILL);
        self.wait().map(Some)
    }

    /// Kills it, and its group if it leads one, and waits for its end.
    pub fn kill(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.entry.signal(Signal::KILL);
        self.wait().map(drop)
    }

    fn forget(&mut self) {
        self.ended = true;
        running().retain(|entry| *entry != self.entry);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// Runs a program to its end; anything but success is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = Guarded::start(command)?.wait()?;
    if !status.success() {
        bail!("{} failed ({status})", describe(command));
    }
    Ok(())
}

/// Runs a program to its end and returns what it wrote to standard output; standard error is shown if it fails.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let Output { status, stdout, stderr } = captured(command)?;
    if !status.success() {
        bail!("{} failed ({status})\n{}", describe(command), String::from_utf8_lossy(&stderr).trim_end());
    }
    Ok(stdout)
}

/// The same, as text without the last line break.
pub fn text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&output(command)?).trim_end().to_owned())
}

/// Runs a program to its end and returns all that came out, whatever its exit code.
pub fn captured(command: &mut Command) -> Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Guarded::start(command)?;
    let mut err = process.child.stderr.take().expect("it was piped");
    let reader = std::thread::spawn(move || {
        let mut stderr = Vec::new();
        let _ = err.read_to_end(&mut stderr);
        stderr
    });
    let mut stdout = Vec::new();
    process.stdout().expect("it was piped").read_to_end(&mut stdout)?;
    let status = process.wait()?;
    let stderr = reader.join().expect("reading a pipe does not panic");
    Ok(Output { status, stdout, stderr })
}

/// A command as it would be typed.
pub fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Where a program lies: PATH first, then the folders of programs for root, which a plain user's PATH lacks.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The same command, begun by `setpriv --pdeathsig`, so that the kernel ends it if we are killed outright.
/// (Rust has this only as `pre_exec`, which is unsafe.) Standard streams are not carried over.
fn ended_with_us(command: &Command) -> Command {
    let mut outer = match find_program("setpriv") {
        Some(setpriv) => {
            let mut outer = Command::new(setpriv);
            outer.args(["--pdeathsig=TERM", "--"]).arg(command.get_program());
            outer
        }
        None => Command::new(command.get_program()),
    };
    outer.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// From now on Ctrl-C, SIGTERM and a closed terminal end all that we started, remove temporary folders, and end us.
pub fn end_everything_on_signals() {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    std::thread::spawn(move || {
        if let Some(number) = signals.forever().next() {
            end_everything();
            std::process::exit(128 + number);
        }
    });
}

fn end_everything() {
    let list = running().clone();
    for entry in &list {
        entry.signal(Signal::TERM);
    }
    let start = Instant::now();
    while start.elapsed() < GRACE && list.iter().any(|entry| alive(*entry)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    for entry in &list {
        entry.signal(Signal::KILL);
    }
    scratch::remove_all();
}

/// Whether a process exists and is not merely waiting to be asked for its exit code.
fn alive(entry: Running) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", entry.pid.as_raw_nonzero()))
        .is_ok_and(|stat| !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}
