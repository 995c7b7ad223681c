//! The base image of the cases that need a shell: busybox-static with its applets, some directories, passwd and group.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

const DIRECTORIES: &[&str] =
    &["bin", "etc", "root", "tmp", "proc", "sys", "dev", "home/app", "usr/bin", "var/tmp"];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n\
                      nobody:x:65534:65534::/:/bin/sh\n";

const GROUP: &str = "root:x:0:\nstaff:x:50:app\napp:x:1000:\nnogroup:x:65534:\n";

/// Makes a context in `folder` from which the image can be built: a Dockerfile and the tar that it adds.
///
/// # Errors
/// Where busybox-static is not installed.
pub fn context(folder: &Path) -> Result<()> {
    let root = folder.join("root");
    make_root(&root)?;
    fs::write(folder.join(".dockerignore"), "root\n")?;
    fs::write(folder.join("Dockerfile"), "FROM scratch\nADD rootfs.tar /\nCMD [\"sh\"]\n")?;
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@315532800", "-cf"]);
    tar.arg(folder.join("rootfs.tar")).arg("-C").arg(root).arg(".");
    ensure!(tar.status()?.success(), "tar failed");
    Ok(())
}

fn make_root(root: &Path) -> Result<()> {
    for directory in DIRECTORIES {
        fs::create_dir_all(root.join(directory))?;
    }
    for entry in walk(root)? {
        fs::set_permissions(entry, fs::Permissions::from_mode(0o755))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    let program = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let program = program.context("busybox-static is not installed")?;
    fs::copy(program, root.join("bin/busybox"))?;
    let applets = Command::new(program).arg("--list").output()?;
    for applet in String::from_utf8(applets.stdout)?.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    for (name, content) in [("passwd", PASSWD), ("group", GROUP)] {
        let path = root.join("etc").join(name);
        fs::write(&path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// All directories below `folder`, and itself.
fn walk(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder)? {
        found.extend(walk(&entry?.path())?);
    }
    Ok(found)
}
