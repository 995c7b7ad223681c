//! Programs of another architecture: whether the kernel hands them to an emulator, and how it is told to.
//!
//! The kernel knows emulators by `binfmt_misc` handlers; one with the flag F holds its program open, so it works in any
//! root. Handlers of the host are used as they are and never changed. In a user namespace of our own a private instance
//! of `binfmt_misc` can be mounted (Linux 6.7), so there a static qemu that lies on PATH is enough; root goes into one
//! when it has to (`user_namespace.rs`).
//! Sources: kernel `Documentation/admin-guide/binfmt-misc.rst`; qemu `scripts/qemu-binfmt-conf.sh` (magic and mask).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::mount::{MountFlags, mount};

use crate::{Tier, user_namespace};

/// Where the kernel shows its handlers.
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";
/// Bytes of an ELF header up to and with the machine.
const HEADER_LEN: usize = 20;

/// How programs of an architecture run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Emulation {
    /// The processor does it.
    Native,
    /// The kernel hands them to an emulator.
    Handled,
    /// They do not run: why not.
    Missing(String),
}

/// An architecture as ELF and qemu call it.
struct Machine {
    /// In Go's words.
    name: &'static str,
    qemu: &'static str,
    /// 1: 32 bits, 2: 64 bits.
    class: u8,
    big_endian: bool,
    /// `e_machine`.
    number: u16,
}

const MACHINES: [Machine; 10] = [
    Machine { name: "386", qemu: "i386", class: 1, big_endian: false, number: 3 },
    Machine { name: "amd64", qemu: "x86_64", class: 2, big_endian: false, number: 62 },
    Machine { name: "arm", qemu: "arm", class: 1, big_endian: false, number: 40 },
    Machine { name: "arm64", qemu: "aarch64", class: 2, big_endian: false, number: 183 },
    Machine { name: "loong64", qemu: "loongarch64", class: 2, big_endian: false, number: 258 },
    Machine { name: "mips64le", qemu: "mips64el", class: 2, big_endian: false, number: 8 },
    Machine { name: "ppc64le", qemu: "ppc64le", class: 2, big_endian: false, number: 21 },
    Machine { name: "riscv64", qemu: "riscv64", class: 2, big_endian: false, number: 243 },
    Machine { name: "s390x", qemu: "s390x", class: 2, big_endian: true, number: 22 },
    Machine { name: "mips64", qemu: "mips64", class: 2, big_endian: true, number: 8 },
];

impl Machine {
    fn number_bytes(&self) -> [u8; 2] {
        if self.big_endian { self.number.to_be_bytes() } else { self.number.to_le_bytes() }
    }

    /// What the header of an executable begins with, and which bits of it count.
    fn magic(&self) -> ([u8; HEADER_LEN], [u8; HEADER_LEN]) {
        let mut magic = [0; HEADER_LEN];
        magic[..4].copy_from_slice(b"\x7fELF");
        (magic[4], magic[5], magic[6]) = (self.class, if self.big_endian { 2 } else { 1 }, 1);
        magic[16..18].copy_from_slice(if self.big_endian { &[0, 2] } else { &[2, 0] });
        magic[18..].copy_from_slice(&self.number_bytes());
        let mut mask = [0xff; HEADER_LEN];
        // The system's own mark, and executables may be position independent (type 3).
        mask[7] = 0;
        mask[if self.big_endian { 17 } else { 16 }] = 0xfe;
        (magic, mask)
    }
}

/// How programs of `architecture` (in Go's words) run here. In a user namespace of our own it sees to it that they do,
/// if there is an emulator.
pub fn emulation(architecture: &str) -> Emulation {
    static ASKED: Mutex<Vec<(String, Emulation)>> = Mutex::new(Vec::new());
    // One at a time: a handler must not be registered twice.
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = asked.iter().find(|(name, _)| name == architecture) {
        return known.clone();
    }
    let found = look(architecture);
    asked.push((architecture.to_owned(), found.clone()));
    found
}

fn look(architecture: &str) -> Emulation {
    if is_native(architecture) {
        return Emulation::Native;
    }
    let Some(machine) = MACHINES.iter().find(|machine| machine.name == architecture) else {
        return Emulation::Missing("no emulator is known for it".to_owned());
    };
    match handler(Path::new(HANDLERS), machine) {
        Some(true) => return Emulation::Handled,
        Some(false) => {
            return Emulation::Missing(
                "the kernel's handler lacks the flag F, so its emulator is not found in images".to_owned(),
            );
        }
        None => {}
    }
    let in_own_namespace = user_namespace::entered().is_some_and(|e| e.tier != Tier::Root);
    match find_emulator(machine) {
        Some(emulator) if in_own_namespace => match register(machine, &emulator) {
            Ok(()) => Emulation::Handled,
            Err(error) => Emulation::Missing(format!("the kernel takes no handler for it: {error}")),
        },
        _ => Emulation::Missing("the kernel has no handler for them (binfmt_misc)".to_owned()),
    }
}

/// Whether programs of `architecture` could run through a handler of our own, and through nothing else.
pub(crate) fn wants_own_handlers(architecture: &str) -> bool {
    let known = MACHINES.iter().find(|machine| machine.name == architecture);
    !is_native(architecture)
        && has_private_handlers()
        && known.is_some_and(|machine| {
            handler(Path::new(HANDLERS), machine).is_none() && find_emulator(machine).is_some()
        })
}

/// Whether the kernel has an instance of `binfmt_misc` for each user namespace: Linux 6.7.
fn has_private_handlers() -> bool {
    let name = rustix::system::uname();
    let mut numbers = name.release().to_str().unwrap_or_default().split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    (next(), next()) >= (Some(6), Some(7))
}

fn is_native(architecture: &str) -> bool {
    match std::env::consts::ARCH {
        "x86_64" => matches!(architecture, "amd64" | "386"),
        // Whether 32 bits run depends on the processor; the kernel will say.
        "aarch64" => matches!(architecture, "arm64" | "arm"),
        "x86" => architecture == "386",
        "powerpc64" => architecture == "ppc64le",
        "loongarch64" => architecture == "loong64",
        other => architecture == other,
    }
}

/// Whether an enabled handler takes executables of `machine`, and whether it holds its program open.
fn handler(folder: &Path, machine: &Machine) -> Option<bool> {
    let entries = fs::read_dir(folder).ok()?;
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.filter_map(|text| takes(&text, machine)).max()
}

/// Reads what the kernel shows of a handler.
fn takes(text: &str, machine: &Machine) -> Option<bool> {
    let mut lines = text.lines();
    if lines.next() != Some("enabled") {
        return None;
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let magic = field("magic ")?;
    let byte = |at: usize| magic.get(2 * at..2 * at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    let wanted = machine.magic().0;
    let matches = [4, 5, 18, 19].into_iter().all(|at| byte(at) == Some(wanted[at]));
    (field("offset ") == Some("0") && matches)
        .then(|| field("flags:").is_some_and(|flags| flags.contains('F')))
}

/// A static emulator on PATH, as Debian and others call it.
fn find_emulator(machine: &Machine) -> Option<PathBuf> {
    let names = [format!("qemu-{}-static", machine.qemu), format!("qemu-{}", machine.qemu)];
    let path = std::env::var_os("PATH")?;
    let files = std::env::split_paths(&path).flat_map(|folder| names.clone().map(|name| folder.join(name)));
    // The text goes into one line with colons.
    files
        .into_iter()
        .find(|file| file.is_file() && file.to_str().is_some_and(|text| !text.contains([':', '\n'])))
}

/// Registers `emulator` in an instance of `binfmt_misc` that belongs to our user namespace and is mounted in our mount
/// namespace only.
fn register(machine: &Machine, emulator: &Path) -> io::Result<()> {
    let register = Path::new(HANDLERS).join("register");
    let write = || {
        let mut line = format!(":jettison-{}:M::", machine.qemu).into_bytes();
        let (magic, mask) = machine.magic();
        for (bytes, end) in [(magic, b':'), (mask, b':')] {
            for byte in bytes {
                line.extend(format!("\\x{byte:02x}").into_bytes());
            }
            line.push(end);
        }
        line.extend(emulator.as_os_str().as_encoded_bytes());
        line.extend(b":OCF");
        fs::write(&register, line)
    };
    // Where the host's instance is visible, it is not ours to write to; ours goes on top of it.
    static MOUNTED: Mutex<bool> = Mutex::new(false);
    let mut mounted = MOUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*mounted {
        mount("binfmt_misc", HANDLERS, "binfmt_misc", MountFlags::NOSUID | MountFlags::NOEXEC, None)?;
        *mounted = true;
    }
    write()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str) -> &'static Machine {
        MACHINES.iter().find(|machine| machine.name == name).unwrap()
    }

    #[test]
    fn handlers_as_the_kernel_shows_them() {
        let text = "enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: POCF\noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";
        assert_eq!(takes(text, machine("arm64")), Some(true));
        assert_eq!(takes(text, machine("arm")), None);
        assert_eq!(takes(&text.replace("POCF", "OC"), machine("arm64")), Some(false));
        assert_eq!(takes(&text.replace("enabled", "disabled"), machine("arm64")), None);
        assert_eq!(takes("enabled\n", machine("arm64")), None);
    }

    #[test]
    fn magic_and_mask_are_qemus() {
        let hex = |bytes: [u8; HEADER_LEN]| jettison_hex(&bytes);
        let (magic, mask) = machine("arm64").magic();
        assert_eq!(hex(magic), "7f454c460201010000000000000000000200b700");
        assert_eq!(hex(mask), "ffffffffffffff00fffffffffffffffffeffffff");
        let (magic, mask) = machine("s390x").magic();
        assert_eq!(hex(magic), "7f454c4602020100000000000000000000020016");
        assert_eq!(hex(mask), "ffffffffffffff00fffffffffffffffffffeffff");
    }

    fn jettison_hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    #[test]
    fn our_own_architecture_is_native() {
        if cfg!(target_arch = "x86_64") {
            assert_eq!(emulation("amd64"), Emulation::Native);
            assert_eq!(emulation("386"), Emulation::Native);
        }
        assert!(matches!(emulation("pdp11"), Emulation::Missing(_)));
    }
}
