//! `jettison run`: exit codes, arguments, isolation.

use crate::fixture::Jettison;

#[test]
fn exit_codes_as_docker_run_has_them() {
    let jettison = Jettison::with_busybox();
    for (command, code) in
        [(&["sh", "-c", "exit 42"][..], 42), (&["/no/such/program"], 127), (&["/etc/passwd"], 126)]
    {
        let mut args = vec!["run", "busybox"];
        args.extend(command);
        assert_eq!(jettison.run(&args).code, code, "{command:?}");
    }
    assert_eq!(jettison.run(&["run", "127.0.0.1:9/nothing"]).code, 125);
}

#[test]
fn environment_user_and_directory() {
    let jettison = Jettison::with_busybox();
    let out = jettison.run(&[
        "run",
        "-e",
        "A=1",
        "-u",
        "app",
        "-w",
        "/tmp",
        "busybox",
        "sh",
        "-c",
        "echo $A $(id -un) $(pwd) $HOME",
    ]);
    assert_eq!(out.ok(), "1 app /tmp /home/app");
}

#[test]
fn what_a_container_writes_is_gone_afterwards() {
    let jettison = Jettison::with_busybox();
    jettison.run(&["run", "busybox", "touch", "/mark"]).ok();
    assert_eq!(jettison.run(&["run", "busybox", "ls", "/mark"]).code, 1);
}

#[test]
fn privileged_operations_are_refused() {
    let jettison = Jettison::with_busybox();
    for command in
        ["mount -t tmpfs x /mnt", "mknod /x c 0 0", "unshare -m true", "echo x > /proc/sys/kernel/hostname"]
    {
        let ran = jettison.run(&["run", "busybox", "sh", "-c", command]);
        assert_ne!(ran.code, 0, "{command} was possible");
    }
}
