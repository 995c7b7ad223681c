//! Other things that this program can be when it is called by itself, and running it as plain users.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use jettison_sandbox::{Tier, enter, tree::remove_tree};

/// Run the cases in a given folder.
pub(crate) const CASES: &str = "--cases";
/// Try to overwrite the file of the running program; exit with the error number.
pub(crate) const OVERWRITE: &str = "--overwrite-own-program";
/// Print what the probe says.
pub(crate) const PROBE: &str = "--probe";
/// Enter, run a step, print what it printed.
pub(crate) const NESTED: &str = "--nested";
/// Enter, report the process id and the tier, then do what the next argument says.
const ENTER: &str = "--enter-and";

/// A user with ranges of ids, made if it is missing (and left there: other runs may be using it).
const USER: &str = "jettison-test";
/// A user id that nobody has.
const NOBODY_IN_PARTICULAR: u32 = 64_777;

/// Plays a mode, if the arguments ask for one.
pub(crate) fn play(arguments: &[String]) -> Option<ExitCode> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [OVERWRITE] => {
            let opened = OpenOptions::new().write(true).truncate(true).open("/proc/self/exe");
            let code = opened.err().and_then(|error| error.raw_os_error()).unwrap_or(0);
            Some(ExitCode::from(code as u8))
        }
        [PROBE] => {
            let probe = jettison_sandbox::probe();
            println!("{:?}: {}", probe.tier, probe.reason.unwrap_or_default());
            Some(ExitCode::SUCCESS)
        }
        [NESTED] => {
            let tier = enter().unwrap().tier;
            let world = super::world::World::new(tier, None).unwrap();
            println!("{tier:?}: {}", world.sh("echo nested").ok());
            Some(ExitCode::SUCCESS)
        }
        [ENTER, what] => Some(enter_and(what)),
        [super::ending::INHERIT, folder] => Some(super::ending::inherit(folder.as_ref())),
        [super::ending::HANG, folder] => Some(super::ending::hang(folder.as_ref())),
        _ => None,
    }
}

fn enter_and(what: &str) -> ExitCode {
    let entered = enter().unwrap();
    println!("{} {:?}", std::process::id(), entered.tier);
    std::io::stdout().flush().unwrap();
    match what {
        "exit" => ExitCode::from(7),
        "abort" => std::process::abort(),
        _ => loop {
            std::thread::park();
        },
    }
}

/// Runs the cases as plain users, if we are root. Returns how many runs failed.
pub(crate) fn as_plain_users(filter: &str) -> usize {
    if !we_are_root() {
        eprintln!("skipped: only root can become plain users");
        return 0;
    }
    let mut failed = 0;
    for who in [with_ranges(), Some((NOBODY_IN_PARTICULAR, NOBODY_IN_PARTICULAR))].into_iter().flatten() {
        let Some(stage) = Stage::new(who) else { continue };
        let status =
            stage.command(&[CASES, &stage.folder.join("world").display().to_string(), filter]).status();
        failed += usize::from(!status.unwrap().success());
        if filter.is_empty() || "supervisor".contains(filter) {
            failed += usize::from(std::panic::catch_unwind(|| supervisor(&stage)).is_err());
        }
    }
    failed
}

fn we_are_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Finds or makes the user; its ranges come with it.
fn with_ranges() -> Option<(u32, u32)> {
    let find = || {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let line = passwd.lines().find(|line| line.starts_with(&format!("{USER}:")))?.to_owned();
        let mut fields = line.split(':').skip(2).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    if let Some(ids) = find() {
        return Some(ids);
    }
    let made =
        Command::new("useradd").args(["--no-create-home", "--shell", "/usr/sbin/nologin", USER]).output();
    if !made.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: useradd cannot make the user {USER}, so no plain user with ranges of ids");
    }
    find()
}

/// A copy of this program in a place where a plain user can reach it.
struct Stage {
    folder: PathBuf,
    program: PathBuf,
    ids: (u32, u32),
}

impl Stage {
    fn new(ids: (u32, u32)) -> Option<Self> {
        if Command::new("setpriv").arg("--version").output().is_err() {
            eprintln!("skipped: setpriv is not there (apt install util-linux), so no plain users");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("jettison-sandbox-{}-{}", std::process::id(), ids.0));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let program = folder.join("sandbox-test");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::create_dir(folder.join("world")).unwrap();
        chown(folder.join("world"), Some(ids.0), Some(ids.1)).unwrap();
        Some(Self { folder, program, ids })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("env");
        // These tests may be started by nohup, or behind `&`, where signals are ignored.
        command.args(["--default-signal=HUP,INT,QUIT", "setpriv"]);
        command.arg(format!("--reuid={}", self.ids.0)).arg(format!("--regid={}", self.ids.1));
        command.args(["--clear-groups", "--"]).arg(&self.program).args(arguments);
        command
    }

    /// Starts the program in its entering mode; returns it and the process id inside.
    fn entering(&self, what: &str) -> (Guarded, u32, String) {
        let mut child =
            self.command(&[ENTER, what]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut output = child.stdout.take().unwrap();
        let mut byte = [0];
        while output.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(char::from(byte[0]));
        }
        let (pid, tier) = line.split_once(' ').unwrap();
        (Guarded(child), pid.parse().unwrap(), tier.to_owned())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        remove_tree(&self.folder).unwrap();
    }
}

/// The parent that waits outside of the user namespace: a faithful shadow of the process inside.
fn supervisor(stage: &Stage) {
    let (mut child, inside, tier) = stage.entering("exit");
    assert_ne!(inside, child.0.id());
    assert_ne!(tier, format!("{:?}", Tier::Root));
    assert_eq!(child.0.wait().unwrap().code(), Some(7));

    let (mut child, ..) = stage.entering("abort");
    assert_eq!(child.0.wait().unwrap().signal(), Some(6), "ends by the same signal");

    for signal in ["TERM", "INT", "HUP"] {
        let (mut child, inside, _) = stage.entering("sleep");
        Command::new("kill").args([format!("-{signal}"), child.0.id().to_string()]).status().unwrap();
        let expected = match signal {
            "TERM" => 15,
            "INT" => 2,
            _ => 1,
        };
        assert_eq!(child.0.wait().unwrap().signal(), Some(expected));
        assert!(gone(inside), "{signal} is passed on");
    }

    let (mut child, inside, _) = stage.entering("sleep");
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    assert!(gone(inside), "nothing remains after kill -9");
}

/// Whether a process ends within a second.
pub(crate) fn gone(pid: u32) -> bool {
    let start = Instant::now();
    // One that has ended but has not been asked how it was (by the machine's pid 1, which may be slow) is gone too.
    let lives = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    };
    while lives() {
        if start.elapsed() > Duration::from_secs(1) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A process that does not outlive a failing case.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
