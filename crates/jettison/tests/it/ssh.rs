//! `RUN --mount=type=ssh`: the user's agent inside of a step, and no trace of it afterwards.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::cache::ran;
use crate::fixture::{Jettison, folder, have, program, root};

/// An agent with one key.
struct Agent {
    child: Child,
    socket: PathBuf,
    /// The public half of its key.
    public: String,
    dir: TempDir,
}

impl Agent {
    fn start() -> Option<Self> {
        if !have("ssh-agent") || !have("ssh-add") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (socket, key) = (dir.path().join("socket"), dir.path().join("key"));
        let child = Command::new("ssh-agent")
            .args(["-D", "-a", socket.to_str().unwrap()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        program("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", key.to_str().unwrap()])
            .ok();
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let added =
            Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket).status().unwrap();
        assert!(added.success());
        let public = std::fs::read_to_string(dir.path().join("key.pub")).unwrap().trim().to_owned();
        Some(Self { child, socket, public, dir })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// ssh-add with its loader and libraries, in the folder `h` of a context; returns how to run it in `/h`.
fn ssh_add(context: &Path) -> String {
    let h = context.join("h");
    std::fs::create_dir(&h).unwrap();
    let path = ["/usr/bin/ssh-add", "/bin/ssh-add"].into_iter().find(|p| Path::new(p).exists()).unwrap();
    std::fs::copy(path, h.join("ssh-add")).unwrap();
    let needed = program("ldd", &[path]).ok();
    let files = needed.split_whitespace().filter(|word| word.starts_with('/'));
    let mut loader = String::new();
    for file in files {
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        std::fs::copy(file, h.join(name)).unwrap();
        if name.starts_with("ld-linux") {
            name.clone_into(&mut loader);
        }
    }
    format!("/h/{loader} --library-path /h /h/ssh-add -L")
}

#[test]
fn the_agent_answers_inside_and_nothing_of_it_stays() {
    let Some(agent) = Agent::start() else { return };
    let jettison = Jettison::with_busybox().env("SSH_AUTH_SOCK", agent.socket.to_str().unwrap());
    let plain = folder("FROM busybox\nRUN true\n", &[]);
    let with = folder("", &[]);
    let ask = ssh_add(with.path());
    let mounts = "--mount=type=ssh --mount=type=bind,source=h,target=/h";
    let dockerfile = format!("FROM busybox\nRUN {mounts} test -S /run/buildkit/ssh_agent.0 && {ask}\n");
    std::fs::write(with.path().join("Dockerfile"), dockerfile).unwrap();
    let built = jettison.try_build(with.path(), &["--ssh", "default", "-t", "app"]);
    assert!(built.stderr.contains(&agent.public), "{}", built.stderr);
    built.ok();
    jettison.build(plain.path(), &["-t", "plain"]);
    let layers = |name: &str| jettison.inspect(name)["config"]["rootfs"]["diff_ids"].clone();
    assert_eq!(layers("app"), layers("plain"), "the socket leaves no trace in the layer");
    let again = jettison.try_build(with.path(), &[]);
    assert!(
        !ran(&again.stderr, "] RUN"),
        "whether there was an agent is not part of the key: {}",
        again.stderr
    );
}

#[test]
fn owner_mode_place_and_number_of_sockets() {
    let Some(agent) = Agent::start() else { return };
    if !root() {
        return;
    }
    let jettison = Jettison::with_busybox();
    let folder = folder(
        "FROM busybox\nRUN --mount=type=ssh,id=x,mode=0741,uid=5,gid=6 --mount=type=ssh,id=x,target=/a.sock stat -c '%a %u:%g %F' $SSH_AUTH_SOCK /a.sock > /o\n",
        &[],
    );
    let spec = format!("x={}", agent.socket.display());
    jettison.build(folder.path(), &["--ssh", &spec, "-t", "app"]);
    assert_eq!(jettison.run(&["run", "app", "cat", "/o"]).ok(), "741 5:6 socket\n600 0:0 socket");
}

#[test]
fn agents_that_are_missing_and_keys_in_files() {
    let jettison = Jettison::with_busybox();
    let optional = folder(
        "FROM busybox\nRUN --mount=type=ssh test -n \"$SSH_AUTH_SOCK\" -a ! -e \"$SSH_AUTH_SOCK\"\n",
        &[],
    );
    jettison.build(optional.path(), &[]);
    let required = folder("FROM busybox\nRUN --mount=type=ssh,required true\n", &[]);
    let error = jettison.try_build(required.path(), &[]).fails(3);
    assert!(error.contains("Dockerfile:2:13") && error.contains("unset ssh forward key default"), "{error}");
    let error = jettison.try_build(required.path(), &["--ssh", "default"]).fails(2);
    assert!(error.contains("SSH_AUTH_SOCK is not set"), "{error}");
    let Some(agent) = Agent::start() else { return };
    let key = agent.dir.path().join("key");
    let mixed = format!("default={},{}", key.display(), agent.socket.display());
    let error = jettison.try_build(required.path(), &["--ssh", &mixed]).fails(2);
    assert!(error.contains("cannot be given beside others"), "{error}");
    program("ssh-keygen", &["-q", "-p", "-N", "secret", "-f", key.to_str().unwrap()]).ok();
    let error = jettison.try_build(required.path(), &["--ssh", &format!("default={}", key.display())]);
    let error = error.fails(2);
    assert!(error.contains("the key has a passphrase") && error.contains("ssh-add"), "{error}");
}

/// Keys of every kind that people have, in the forms in which ssh-keygen writes them.
#[test]
fn keys_in_files_answer_as_an_agent_does() {
    if !have("ssh-keygen") || !have("ssh-add") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let with = folder("", &[]);
    let ask = ssh_add(with.path());
    let mounts = "--mount=type=ssh --mount=type=bind,source=h,target=/h --mount=type=bind,target=/c";
    // `-T` has the agent sign, and checks the signature.
    let test = ask.replace(" -L", " -T");
    let mut specs = Vec::new();
    let mut lines = vec!["FROM busybox".to_owned()];
    for (number, flags) in [
        &["-t", "ed25519"][..],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "rsa", "-b", "3072", "-m", "PEM"],
        &["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384", "-m", "PKCS8"],
    ]
    .into_iter()
    .enumerate()
    {
        let key = dir.path().join(format!("k{number}"));
        let args = [&["-q", "-N", "", "-C", "me", "-f", key.to_str().unwrap()][..], flags].concat();
        program("ssh-keygen", &args).ok();
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        std::fs::write(with.path().join(format!("k{number}.pub")), &public).unwrap();
        let words: Vec<&str> = public.split(' ').take(2).collect();
        lines.push(format!(
            "RUN {mounts} {ask} | grep -q '{}' && {test} /c/k{number}.pub && echo good{number}",
            words.join(" ")
        ));
        specs.push(key.display().to_string());
    }
    std::fs::write(with.path().join("Dockerfile"), lines.join("\n")).unwrap();
    let jettison = Jettison::with_busybox();
    let spec = format!("default={}", specs.join(","));
    let built = jettison.try_build(with.path(), &["--ssh", &spec]);
    for number in 0..specs.len() {
        assert!(built.stderr.contains(&format!("good{number}\n")), "{number}: {}", built.stderr);
    }
    built.ok();
}
