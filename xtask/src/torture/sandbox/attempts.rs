//! What a step might try to get out. Each is a shell command that works only for somebody who is out, or who may do to
//! the machine what no container may; none does harm if it works. `$CANARY`, `$HOSTPID` and `$SECRET` are filled in.

/// Name and command.
pub type Attempt = (&'static str, &'static str);

/// Refused to root and to a plain user inside.
pub const REFUSED: &[Attempt] = &[
    ("mount a tmpfs", "mount -t tmpfs none /mnt"),
    ("mount proc", "mount -t proc none /mnt"),
    ("mount sysfs", "mount -t sysfs none /mnt"),
    ("mount devtmpfs", "mount -t devtmpfs none /mnt"),
    ("mount cgroup", "mount -t cgroup2 none /mnt || mount -t cgroup -o memory none /mnt"),
    ("mount an overlay", "mount -t overlay -o lowerdir=/etc,upperdir=/tmp/u,workdir=/tmp/w none /mnt"),
    ("bind the root", "mount --bind / /mnt"),
    ("make /proc/sys writable", "mount -o remount,rw /proc/sys || mount -o remount,bind,rw /proc/sys"),
    ("make mounts shared", "mount --make-rshared /"),
    ("unmount /proc", "umount /proc || umount -l /proc"),
    ("unmount what masks", "umount /proc/kcore || umount /sys/firmware || umount /proc/acpi"),
    ("unmount /dev", "umount -l /dev"),
    ("pivot the root", "mkdir -p /p/old && pivot_root /p /p/old"),
    ("new mount namespace", "unshare -m true"),
    ("new user namespace", "unshare -U true || unshare -Ur true"),
    ("new network namespace", "unshare -n true"),
    ("new process namespace", "unshare -p -f true"),
    ("namespaces of process 1", "nsenter -t 1 -m true && nsenter -t 1 -m ls $CANARY"),
    ("write core_pattern", "cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern"),
    ("write modprobe", "cat /proc/sys/kernel/modprobe > /proc/sys/kernel/modprobe"),
    ("write swappiness", "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness"),
    ("write the file of the host name", "cat /proc/sys/kernel/hostname > /proc/sys/kernel/hostname"),
    ("write ip_forward", "cat /proc/sys/net/ipv4/ip_forward > /proc/sys/net/ipv4/ip_forward"),
    ("open sysrq-trigger", "(: >> /proc/sysrq-trigger)"),
    ("open irq", "(: >> /proc/irq/default_smp_affinity)"),
    ("open uevent_helper", "(: >> /sys/kernel/uevent_helper)"),
    ("open power state", "(: >> /sys/power/state)"),
    (
        "open settings of a block device",
        "for f in /sys/block/*/queue/read_ahead_kb; do (: >> $f) && break; done",
    ),
    ("write /sys", "mkdir /sys/fs/cgroup/torture || mkdir /sys/kernel/config/torture"),
    ("read kcore", "head -c 1 /proc/kcore | grep -q ."),
    ("read keys", "grep -q . /proc/keys"),
    ("read timers", "grep -q . /proc/timer_list"),
    ("read firmware", "ls /sys/firmware | grep -q ."),
    ("read the log of the kernel", "dmesg | grep -q ."),
    ("read memory", "dd if=/dev/mem of=/dev/null bs=1 count=1"),
    (
        "make and read the device of memory",
        "mknod /tmp/mem c 1 1 && dd if=/tmp/mem of=/dev/null bs=1 count=1",
    ),
    (
        "make and read a disk",
        "for d in 8:0 254:0 253:0 259:0 7:0; do mknod /tmp/d b ${d%:*} ${d#*:} && dd if=/tmp/d of=/dev/null bs=512 count=1 && break; rm -f /tmp/d; false; done",
    ),
    (
        "make and read the log of the kernel",
        "mknod /tmp/kmsg c 1 11 && dd if=/tmp/kmsg of=/dev/null bs=1 count=1",
    ),
    ("make and open FUSE", "mknod /tmp/fuse c 10 229 && (: <> /tmp/fuse)"),
    (
        "the control of loop devices",
        "(: < /dev/loop-control) || { mknod /tmp/lc c 10 237 && (: < /tmp/lc); }",
    ),
    ("set the host name to what it is", "hostname $(hostname)"),
    ("see a process outside", "test -d /proc/$HOSTPID && grep -q [t]orture-outside /proc/$HOSTPID/cmdline"),
    ("signal a process outside", "kill -0 $HOSTPID && grep -q [t]orture-outside /proc/$HOSTPID/cmdline"),
    ("see any process outside", "grep -l [t]orture-outside /proc/[0-9]*/cmdline | grep -v self | grep -q ."),
    ("the canary by its name", "cat $CANARY/canary"),
    ("the canary through process 1", "cat /proc/1/root$CANARY/canary || cat /proc/1/cwd/$CANARY/canary"),
    (
        "the canary through any root",
        "for p in /proc/[0-9]*; do cat $p/root$CANARY/canary $p/cwd$CANARY/canary && break; false; done",
    ),
    (
        "the canary through any descriptor",
        "for f in /proc/[0-9]*/fd/*; do cat $f/$CANARY/canary $f/../../../../../..$CANARY/canary && break; false; done",
    ),
    (
        "the canary above the root",
        "cat ../../../../../../../../..$CANARY/canary || (cd /; cat ..$CANARY/canary)",
    ),
    (
        "the secret of another build in a file",
        "find / -xdev -type f -size -2 -exec grep -l $SECRET {} + | grep -v -e /attempts -e '^/proc' | grep -q .",
    ),
    ("the secret of another build in a process", "grep -l $SECRET /proc/[0-9]*/environ | grep -q ."),
    (
        "our program, to write",
        "for p in /proc/[0-9]*/exe; do (: >> $p) && readlink $p | grep -q jettison && break; false; done",
    ),
    ("more priority", "nice -n -10 true && test \"$(nice -n -10 nice)\" = -10"),
    ("safe from the out-of-memory killer", "echo -1000 > /proc/self/oom_score_adj"),
    ("load a module", "insmod /nonexistent 2>&1 | grep -q 'No such file' && modprobe nonexistent"),
    ("the store", "ls -d /proc/[0-9]*/root$STORE /proc/[0-9]*/cwd$STORE $STORE"),
];

/// What the surroundings look like: `name: text` lines, the same as with Docker.
pub const FACTS: &[Attempt] = &[
    ("capabilities", "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | tr '\\t\\n' '  '"),
    ("seccomp", "grep -E '^Seccomp:' /proc/self/status | tr '\\t' ' '"),
    ("no new privileges", "grep -E '^NoNewPrivs' /proc/self/status | tr '\\t' ' '"),
    ("umask", "umask"),
    (
        "nodes in /dev",
        "find /dev -maxdepth 1 -type c -exec stat -c '%n %a %u:%g %t:%T' {} + | grep -v console | sort | tr '\\n' ','",
    ),
    (
        "links in /dev",
        "find /dev -maxdepth 1 -type l -exec readlink -n {} \\; -exec printf ' ' \\; | tr ' ' '\\n' | sort | tr '\\n' ' '",
    ),
    (
        "masked and read-only",
        "grep -E ' /(proc|sys)/?' /proc/self/mountinfo | awk '{print $5, substr($6, 1, 2)}' | grep -v /sys/fs/cgroup | sort | uniq | tr '\\n' ','",
    ),
    ("identity", "id"),
    ("open descriptors", "ls /proc/self/fd | wc -l"),
    ("file mode of /", "stat -c '%a %u:%g' / /tmp | tr '\\n' ' '"),
    ("rights of a set-uid program", "cp /bin/busybox /tmp/su && chmod 4755 /tmp/su && /tmp/su id -u"),
    ("raw sockets", "ping -c 1 -W 1 127.0.0.1 >/dev/null 2>&1 && echo yes || echo no"),
    ("changing owners", "touch /tmp/o && chown 5:5 /tmp/o && stat -c %u:%g /tmp/o || echo no"),
    ("changing the root", "chroot / true && echo yes || echo no"),
    ("low ports", "timeout 1 nc -l -p 81 >/dev/null 2>&1; test $? -ge 124 && echo yes || echo no"),
];

/// A script that makes all attempts and reports.
pub fn script(fill: &dyn Fn(&str) -> String) -> String {
    let mut text = "#!/bin/sh\nmkdir -p /mnt /tmp/u /tmp/w 2>/dev/null\n".to_owned();
    for (name, command) in REFUSED {
        let command = fill(command);
        text.push_str(&format!("if ( {command} ) >/dev/null 2>&1 </dev/null; then echo '{name}: possible'; else echo '{name}: refused'; fi\n"));
    }
    for (name, command) in FACTS {
        let command = fill(command);
        text.push_str(&format!("echo \"fact {name}: $( ( {command} ) 2>/dev/null </dev/null)\"\n"));
    }
    text
}
