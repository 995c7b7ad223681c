//! System calls that rustix does not offer, each behind a safe function that says why it is safe.
//!
//! This is the only file that calls the C library or the kernel directly; the rest of the crate is as safe as any.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::ptr;

use rustix::mount::MountAttrFlags;
use rustix::process::Pid;

use crate::child::seccomp::Instruction;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Adds attributes (read-only, nosuid, …) to a mount, and to those beneath it if `recursive`. Kernel 5.12.
pub(crate) fn add_mount_attributes(
    mount: BorrowedFd<'_>,
    add: MountAttrFlags,
    recursive: bool,
) -> io::Result<()> {
    // `struct mount_attr` of linux/mount.h.
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attributes = MountAttr { set: u64::from(add.bits()), clear: 0, propagation: 0, user_namespace: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, `attributes` has the size that is passed, and both outlive the call; the kernel
    // only reads them.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(&attributes),
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// What [`fork`] returns.
pub(crate) enum Fork {
    /// In the new process.
    Child,
    /// In the old one.
    Parent(Pid),
}

/// Forks. The caller must be a process with one thread: in the child of a threaded one only async-signal-safe code
/// may run. Refuses otherwise.
pub(crate) fn fork() -> io::Result<Fork> {
    if thread_count() > 1 {
        return Err(io::Error::other("fork in a process with several threads"));
    }
    // SAFETY: there is one thread (checked above), so no lock can be held by another one, and the child may go on as
    // any program.
    let pid = check(libc::c_long::from(unsafe { libc::fork() }))?;
    Ok(Pid::from_raw(pid as i32).map_or(Fork::Child, Fork::Parent))
}

/// Forks, and makes the new process a child of our parent. The same is asked of the caller as for [`fork`].
pub(crate) fn fork_for_parent() -> io::Result<Fork> {
    if thread_count() > 1 {
        return Err(io::Error::other("fork in a process with several threads"));
    }
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: a fork like the one above: memory is copied (no CLONE_VM), and the child goes on on its copy of the stack
    // (null). The C library's own fork cannot be asked for CLONE_PARENT; what it does besides is for locks of other
    // threads, of which there are none (checked above), and for the thread's number that it keeps, which it uses for
    // nothing that single-threaded code asks for.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(Pid::from_raw(pid as i32).map_or(Fork::Child, Fork::Parent))
}

/// Makes `descriptors` the numbers 0, 1, … of this process, open across nothing but the standard three, and closes all
/// others.
///
/// Only for a process that has just been forked and whose code forgets every descriptor that it had (`launcher.rs`).
pub(crate) fn become_standard<const N: usize>(descriptors: [OwnedFd; N]) -> io::Result<()> {
    /// Above all targets, so that no copy overwrites a descriptor which is still to be copied.
    const SAFE_FROM: RawFd = 16;
    const { assert!(N < SAFE_FROM as usize) };
    let mut safe = [0; N];
    for (safe, source) in safe.iter_mut().zip(descriptors) {
        *safe = rustix::io::fcntl_dupfd_cloexec(&source, SAFE_FROM)?.into_raw_fd();
        // At a number that may be a target, where it must not be closed later.
        std::mem::forget(source);
    }
    for (number, source) in safe.into_iter().enumerate() {
        // SAFETY: dup2 of an open descriptor onto a number that the caller has forgotten.
        check(libc::c_long::from(unsafe { libc::dup2(source, number as RawFd) }))?;
    }
    close_range(N as RawFd, false)
}

/// How many threads this process has; 1 if `/proc` does not say (then nobody has asked for more yet, or the caller
/// cannot be helped).
pub(crate) fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Unshares namespaces. Never the file descriptor table.
pub(crate) fn unshare(namespaces: rustix::thread::UnshareFlags) -> io::Result<()> {
    assert!(!namespaces.contains(rustix::thread::UnshareFlags::FILES), "descriptors stay shared");
    // SAFETY: only unsharing the table of file descriptors can break the ownership rules of descriptors, and that is
    // excluded above.
    Ok(unsafe { rustix::thread::unshare_unsafe(namespaces) }?)
}

/// Marks all descriptors from `first` on close-on-exec, or closes them at once.
///
/// To close is for a freshly executed process that has opened nothing yet: whatever is open there was left open by
/// mistake by whoever started us.
pub(crate) fn close_range(first: RawFd, only_mark: bool) -> io::Result<()> {
    let flags = if only_mark { libc::CLOSE_RANGE_CLOEXEC as libc::c_int } else { 0 };
    // SAFETY: marking changes no descriptor's validity. Closing is only asked for at the start of a child, before any
    // `OwnedFd` above `first` exists (`child::run`).
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) })?;
    Ok(())
}

/// Takes over a descriptor that this process was started with.
///
/// Only for the numbers that our own parent has put there (`spawn.rs`), once each, at the start of a child.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on any number is harmless; it fails if the number is not open.
    check(libc::c_long::from(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }))?;
    // SAFETY: it is open (the call above worked), and nobody else in this process owns it: the child's protocol gives
    // each number to one caller.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Puts a copy of `source` at `number` (0, 1 or 2), open across exec.
pub(crate) fn replace_standard_descriptor(source: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    assert!((0..=2).contains(&number));
    // SAFETY: the numbers 0 to 2 are never owned by an `OwnedFd` of ours; std's handles of them stay valid because the
    // number stays open.
    check(libc::c_long::from(unsafe { libc::dup2(source.as_raw_fd(), number) }))?;
    Ok(())
}

/// Installs a seccomp filter. Needs CAP_SYS_ADMIN in our user namespace.
pub(crate) fn install_seccomp_filter(program: &[Instruction]) -> io::Result<()> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // Without SPEC_ALLOW older kernels switch off speculation for filtered processes: builds would run slower.
    let mut result = Ok(0);
    for flags in [libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0] {
        // SAFETY: `Instruction` has the layout of `sock_filter` (repr(C), u16 u8 u8 u32), `len` is the length of the
        // slice, and the kernel copies the program.
        result = check(unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, ptr::from_ref(&filter))
        });
        if result.is_ok() {
            break;
        }
    }
    result.map(drop)
}

/// Switches off address space randomisation for programs executed from now on.
pub(crate) fn fix_address_layout() -> io::Result<()> {
    // SAFETY: personality takes an integer and changes how this process executes programs, nothing in memory.
    check(libc::c_long::from(unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) }))?;
    Ok(())
}

/// Brings the interface `lo` of the current network namespace up.
pub(crate) fn bring_loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all-zero is a valid `ifreq` (plain integers and arrays).
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which outlives the call.
    check(libc::c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, ptr::from_mut(&mut request))
    }))?;
    Ok(())
}

/// Signals back to their defaults, none blocked: what a program expects that was started by a shell. (Rust ignores
/// SIGPIPE, our caller may block some, and the C library ignores two of its own in what it spawns.)
pub(crate) fn reset_signals() {
    /// The size of the kernel's signal sets, and of its `struct sigaction` at most; all zero means SIG_DFL.
    const SET_BYTES: usize = 8;
    const DEFAULT: [u64; 8] = [0; 8];
    for signal in 1..=64 {
        // SAFETY: the kernel reads a `struct sigaction` from a longer array and writes no old one; SIG_DFL runs no code
        // of this process. Signals that may not be changed are refused. (The C library's own function would refuse to
        // touch its two.)
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                ptr::null_mut::<libc::c_void>(),
                SET_BYTES,
            )
        };
    }
    set_signal_mask(&[], false);
}

/// Blocks exactly `signals`, or those in addition to what is blocked (`add`).
pub(crate) fn set_signal_mask(signals: &[libc::c_int], add: bool) {
    let set = signal_set(signals);
    let how = if add { libc::SIG_BLOCK } else { libc::SIG_SETMASK };
    // SAFETY: `set` is initialised; the old mask is not asked for.
    unsafe { libc::sigprocmask(how, &raw const set, ptr::null_mut()) };
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: all-zero is a valid value of this plain C type; sigemptyset and sigaddset write to it only.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// Waits for one of `signals` (which must be blocked). Returns its number and whether a process sent it (rather than
/// the terminal, which sends to the whole group).
pub(crate) fn wait_for_signal(signals: &[libc::c_int]) -> io::Result<(libc::c_int, bool)> {
    let set = signal_set(signals);
    // SAFETY: all-zero is a valid `siginfo_t`.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to initialised values that outlive the call.
    let signal = check(libc::c_long::from(unsafe { libc::sigwaitinfo(&raw const set, &raw mut info) }))?;
    Ok((signal as libc::c_int, info.si_code <= 0))
}

/// Ends this process by `signal`, without a core file.
pub(crate) fn die_by_signal(signal: libc::c_int) -> ! {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    // SAFETY: SIG_DFL is a valid disposition.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    set_signal_mask(&[], false);
    // SAFETY: raising a signal touches no memory.
    unsafe { libc::raise(signal) };
    exit(128 + signal)
}

/// Ends this process at once: no destructors, no flushing of buffers that a parent has also got.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Replaces this process. Returns only the error.
pub(crate) fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: both arrays end with a null pointer and point to C strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// Starts `program` with an empty environment, in a session of its own, with default signals; `descriptors[i]` becomes
/// its descriptor `i`, and it has no others that are marked close-on-exec. Safe in a threaded process (no code of ours
/// runs between fork and exec).
pub(crate) fn spawn(
    program: &CStr,
    arguments: &[CString],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<Pid> {
    /// Above the target numbers, so that no copy overwrites a descriptor which is still to be copied.
    const SAFE_FROM: RawFd = 16;
    assert!(descriptors.len() < SAFE_FROM as usize);
    let sources = descriptors
        .iter()
        .map(|fd| Ok(rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), SAFE_FROM)?))
        .collect::<io::Result<Vec<OwnedFd>>>()?;
    let arguments = pointers(arguments);
    let environment: [*mut libc::c_char; 1] = [ptr::null_mut()];
    let fail = |code: libc::c_int| if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) };
    let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF | libc::c_int::from(SPAWN_SETSID);
    let (no_signals, all_signals) = (signal_set(&[]), signal_set(&(1..=31).collect::<Vec<_>>()));
    let mut pid = 0;
    // SAFETY: the two objects are initialised before use and destroyed after; every pointer that is passed is to a
    // value that lives until the end of this block; the argument arrays end with a null pointer.
    unsafe {
        let mut actions: libc::posix_spawn_file_actions_t = std::mem::zeroed();
        let mut attributes: libc::posix_spawnattr_t = std::mem::zeroed();
        fail(libc::posix_spawn_file_actions_init(&raw mut actions))?;
        fail(libc::posix_spawnattr_init(&raw mut attributes))?;
        let result = (|| {
            for (number, source) in sources.iter().enumerate() {
                let (from, to) = (source.as_raw_fd(), number as RawFd);
                fail(libc::posix_spawn_file_actions_adddup2(&raw mut actions, from, to))?;
            }
            fail(libc::posix_spawnattr_setflags(&raw mut attributes, flags as libc::c_short))?;
            fail(libc::posix_spawnattr_setsigmask(&raw mut attributes, &raw const no_signals))?;
            fail(libc::posix_spawnattr_setsigdefault(&raw mut attributes, &raw const all_signals))?;
            fail(libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                &raw const actions,
                &raw const attributes,
                arguments.as_ptr().cast::<*mut libc::c_char>(),
                environment.as_ptr(),
            ))
        })();
        libc::posix_spawnattr_destroy(&raw mut attributes);
        libc::posix_spawn_file_actions_destroy(&raw mut actions);
        result?;
    }
    Pid::from_raw(pid).ok_or_else(|| io::Error::other("posix_spawn returned no process"))
}

/// `POSIX_SPAWN_SETSID`: glibc 2.26, musl 1.1.22.
const SPAWN_SETSID: u8 = 0x80;

/// The path by which the kernel executed us (`AT_EXECFN`), for when `/proc` is not there.
pub(crate) fn executed_path() -> Option<CString> {
    // SAFETY: getauxval has no preconditions.
    let address = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const libc::c_char;
    if address.is_null() {
        return None;
    }
    // SAFETY: the kernel put a C string there at exec, on the stack of the main thread, where it stays.
    Some(unsafe { CStr::from_ptr(address) }.to_owned())
}
