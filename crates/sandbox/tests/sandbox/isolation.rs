//! What a step sees and may do.

use std::fs;
use std::path::Path;

use jettison_sandbox::{Mount, MountKind, Network, Security, Source, Tier};

use crate::modes::{NESTED, OVERWRITE, PROBE};
use crate::world::{World, run};

pub(crate) const CASES: &[super::Case] = &[
    ("capabilities_are_dockers_and_the_filter_is_on", capabilities_are_dockers_and_the_filter_is_on),
    ("mount_unshare_and_their_like_are_refused", mount_unshare_and_their_like_are_refused),
    ("programs_of_32_bits_run_under_the_filter", programs_of_32_bits_run_under_the_filter),
    ("proc_is_masked_and_partly_read_only", proc_is_masked_and_partly_read_only),
    ("dev_has_the_usual_nodes_and_no_others", dev_has_the_usual_nodes_and_no_others),
    ("the_process_is_pid_1_with_nothing_inherited", the_process_is_pid_1_with_nothing_inherited),
    ("the_environment_is_exactly_what_was_given", the_environment_is_exactly_what_was_given),
    ("hosts_and_resolv_conf_are_read_only", hosts_and_resolv_conf_are_read_only),
    ("network_none_has_loopback_only", network_none_has_loopback_only),
    ("insecure_has_no_limits_of_ours", insecure_has_no_limits_of_ours),
    ("fixed_layout_switches_randomisation_off", fixed_layout_switches_randomisation_off),
    ("our_own_program_cannot_be_overwritten", our_own_program_cannot_be_overwritten),
    ("the_host_sees_no_mount", the_host_sees_no_mount),
    (
        "inside_a_step_the_probe_says_why_there_is_no_sandbox",
        inside_a_step_the_probe_says_why_there_is_no_sandbox,
    ),
    ("sandboxes_nest_where_that_is_permitted", sandboxes_nest_where_that_is_permitted),
];

fn capabilities_are_dockers_and_the_filter_is_on(world: &World) {
    let status = world.sh("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
    let expected = "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n\
        CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2";
    assert_eq!(status.ok(), expected);
    if world.has_ids() {
        let mut spec = world.spec("grep -E '^Cap' /proc/self/status");
        spec.user = "app".into();
        let expected = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
            CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000";
        assert_eq!(run(&spec).unwrap().ok(), expected);
    }
}

fn mount_unshare_and_their_like_are_refused(world: &World) {
    for command in [
        "mount -t tmpfs none /tmp",
        "mount --bind /bin /tmp",
        "umount /proc",
        "unshare -m true",
        "unshare -U true",
        "unshare -n true",
        "mknod /tmp/x c 0 0",
        "hostname other",
    ] {
        let outcome = world.sh(command);
        assert_ne!(outcome.exit.code, Some(0), "{command}");
        let text = outcome.err.to_lowercase();
        assert!(text.contains("not permitted") || text.contains("denied"), "{command}: {text}");
    }
    // Allowed by default, as with Docker.
    world.sh("mkdir -p /tmp/r/bin && ln /bin/busybox /tmp/r/bin/ 2>/dev/null || cp /bin/busybox /tmp/r/bin/; true").ok();
}

/// `exit(7)` by the 32-bit call gate: an ELF file with one program header.
fn tiny_program() -> Vec<u8> {
    let code = [0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80];
    let (base, header) = (0x0804_8000_u32, 52 + 32);
    let size = header + code.len() as u32;
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2_u16, 3].iter().flat_map(|half| half.to_le_bytes()));
    elf.extend([1, base + header, 52, 0, 0].iter().flat_map(|word: &u32| word.to_le_bytes()));
    elf.extend([52_u16, 32, 1, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    elf.extend([1, 0, base, base, size, size, 5, 0x1000].iter().flat_map(|word: &u32| word.to_le_bytes()));
    elf.extend(code);
    elf
}

fn programs_of_32_bits_run_under_the_filter(world: &World) {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("skipped: the program is for x86");
        return;
    }
    let file = MountKind::File { content: tiny_program(), mode: 0o755, uid: 0, gid: 0 };
    let outcome = world.sh_with("/tmp/tiny", vec![("/tmp/tiny", file)]);
    if outcome.exit.code == Some(126) {
        eprintln!("skipped: this kernel runs no 32-bit programs: {}", outcome.err);
        return;
    }
    assert_eq!(outcome.exit.code, Some(7), "{}", outcome.err);
}

fn proc_is_masked_and_partly_read_only(world: &World) {
    let outcome = world.sh(
        "for f in kcore keys timer_list interrupts sched_debug; do cat /proc/$f 2>/dev/null | head -c 1; done
         ls /sys/firmware 2>/dev/null
         ls /proc/acpi /proc/scsi 2>/dev/null | grep -v :
         for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/mm/ksm/run /sys/power/state; do
           if test -e $f && echo 1 2>/dev/null >$f; then echo wrote $f; fi
         done; true",
    );
    assert_eq!(outcome.ok(), "");
    let outcome = world.sh("test $(ls /proc | grep -c '^[0-9]') -le 4 && echo few; cat /proc/1/comm; test -d /sys/class && echo sys");
    assert_eq!(outcome.ok(), "few\nsh\nsys", "only the step's own processes: {}", outcome.err);
}

fn dev_has_the_usual_nodes_and_no_others(world: &World) {
    let outcome = world.sh("ls /dev | tr '\\n' ' '");
    let expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(outcome.ok(), expected);
    let outcome =
        world.sh("echo x >/dev/null && head -c 2 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c
         echo x >/dev/full; echo $?
         echo text >/dev/stdout
         stat -c %a /dev/null /dev/shm /dev/pts/ptmx; touch /dev/shm/x && echo shm
         grep -c shm /proc/mounts; grep /dev/shm /proc/mounts | grep -c size=65536k");
    assert_eq!(outcome.ok(), "2\n3\n1\ntext\n666\n1777\n666\nshm\n1\n1");
}

fn the_process_is_pid_1_with_nothing_inherited(world: &World) {
    let outcome = world.sh("echo $$ $(cut -d' ' -f5,6 /proc/self/stat) $(umask) $(pwd) $(hostname)
         (ls /proc/$$/fd >/tmp/open); echo $(cat /tmp/open)
         grep -E '^Sig(Blk|Ign)' /proc/self/status; cat; wc -c </dev/stdin");
    // (A subshell, because pipes and redirections would be open in the shell itself.)
    let lines: Vec<&str> = outcome.ok().lines().collect();
    assert_eq!(lines[0], "1 1 1 0022 / buildkitsandbox");
    assert_eq!(lines[1], "0 1 2");
    assert_eq!(lines[2..], ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "0"]);
}

fn the_environment_is_exactly_what_was_given(world: &World) {
    let mut spec = world.spec("");
    spec.argv = vec!["env".into()];
    spec.env = vec!["PATH=/bin".into(), "A=b c".into(), "HOME=/elsewhere".into(), "EMPTY=".into()];
    assert_eq!(run(&spec).unwrap().ok(), "PATH=/bin\nA=b c\nHOME=/elsewhere\nEMPTY=");
}

fn hosts_and_resolv_conf_are_read_only(world: &World) {
    let outcome = world.sh("cat /etc/hosts /etc/resolv.conf");
    assert_eq!(outcome.ok(), "127.0.0.1 localhost buildkitsandbox\nnameserver 192.0.2.1");
    for path in ["/etc/hosts", "/etc/resolv.conf"] {
        let outcome = world.sh(&format!("echo x >>{path}"));
        assert!(outcome.err.contains("Read-only file system"), "{}", outcome.err);
        let outcome = world.sh(&format!("rm {path}"));
        assert!(outcome.err.contains("busy"), "{}", outcome.err);
    }
    let file = MountKind::File { content: b"mine\n".to_vec(), mode: 0o644, uid: 0, gid: 0 };
    assert_eq!(world.sh_with("cat /etc/hosts", vec![("/etc/hosts", file)]).ok(), "mine");
}

fn network_none_has_loopback_only(world: &World) {
    let mut spec = world.spec("ls /sys/class/net; ip -o addr show lo | grep -c 127.0.0.1; ping -c 1 -W 1 127.0.0.1 | grep -c ' 0% '");
    spec.network = Network::None;
    assert_eq!(run(&spec).unwrap().ok(), "lo\n1\n1");
    let ours = fs::read_dir("/sys/class/net").unwrap().count();
    assert_eq!(world.sh("ls /sys/class/net | wc -l").ok(), ours.to_string(), "the host's network");
}

fn insecure_has_no_limits_of_ours(world: &World) {
    let mut spec =
        world.spec("mount -t tmpfs none /tmp && unshare -m true && grep Seccomp: /proc/self/status");
    spec.security = Security::Insecure;
    assert_eq!(run(&spec).unwrap().ok(), "Seccomp:\t0");
}

fn fixed_layout_switches_randomisation_off(world: &World) {
    let mut spec = world.spec("cat /proc/self/personality");
    assert_eq!(run(&spec).unwrap().ok(), "00000000");
    spec = world.spec("cat /proc/self/personality");
    spec.fixed_layout = true;
    assert_eq!(run(&spec).unwrap().ok(), "00040000");
}

/// This test program as the program of a step.
fn ourselves(world: &World, mode: &str) -> jettison_sandbox::Spec {
    let mut spec = world.spec("");
    spec.argv = vec!["/proc/self/exe".into(), mode.into()];
    // This test is linked dynamically; the program itself is not.
    spec.mounts = ["/lib", "/lib64", "/usr/lib"]
        .into_iter()
        .filter(|path| Path::new(path).exists())
        .map(|path| Mount {
            target: path.into(),
            kind: MountKind::Bind { source: Source::Path(path.into()), read_only: true, recursive: false },
        })
        .collect();
    spec
}

/// A default container is such a step: same capabilities, same filter.
fn inside_a_step_the_probe_says_why_there_is_no_sandbox(world: &World) {
    let outcome = run(&ourselves(world, PROBE)).unwrap();
    assert_eq!(outcome.ok(), "NoNamespaces: seccomp denies unshare (a container)");
}

/// A builder in a privileged container.
fn sandboxes_nest_where_that_is_permitted(world: &World) {
    let mut spec = ourselves(world, NESTED);
    spec.security = Security::Insecure;
    // An overlay cannot be the upper directory of another one.
    spec.mounts.push(Mount { target: "/tmp".into(), kind: MountKind::Tmpfs { size: None } });
    assert_eq!(run(&spec).unwrap().ok(), "Root: nested");
}

fn our_own_program_cannot_be_overwritten(world: &World) {
    let spec = ourselves(world, OVERWRITE);
    let code = run(&spec).unwrap().exit.code;
    if world.tier == Tier::Root {
        assert_eq!(code, Some(30), "EROFS");
    } else {
        assert!(
            [Some(13), Some(30)].contains(&code),
            "EACCES of a file that is not ours, or EROFS: {code:?}"
        );
    }
}

fn the_host_sees_no_mount(world: &World) {
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let kind = MountKind::Tmpfs { size: None };
    world.sh_with("touch /data/x /mnt/y", vec![("/mnt", kind)]).ok();
    assert_eq!(mounts(), before);
    assert!(Path::new("/dev/null").exists());
    if world.tier == Tier::Root {
        // Nor does the step see where on the host it lies.
        let paths = world.sh("cat /proc/mounts").ok().to_owned();
        assert!(!paths.contains("upper") || paths.contains("/proc/self/fd/"), "{paths}");
    }
}
