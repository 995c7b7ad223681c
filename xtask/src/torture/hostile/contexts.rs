//! Contexts with what is no file, and with files that change while they are read.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::{Case, Expect, Maker, Place};

pub const CASES: &[Maker] = &[
    ("context: socket", |p| {
        p.write("context/a", "x")?;
        // The path of a socket is short, so it is bound where it is.
        let folder = p.folder.join("context");
        drop(UnixListener::bind(folder.join("s"))?);
        Ok(Case::new(p.build("FROM scratch\nCOPY . /\n")?, Expect::Anything))
    }),
    ("context: pipe", |p| {
        p.write("context/a", "x")?;
        super::program("mkfifo", &[&p.folder.join("context/p").display().to_string()])?;
        Ok(Case::new(p.build("FROM scratch\nCOPY . /\nCOPY p /q\n")?, Expect::Anything))
    }),
    ("context: pipe as Dockerfile", |p| {
        let path = p.folder.join("pipe").display().to_string();
        super::program("mkfifo", &[&path])?;
        fs::create_dir_all(p.folder.join("context"))?;
        let meanwhile = path.clone();
        let mut case = Case::works([
            "build",
            "--quiet",
            "--file",
            &path,
            &p.folder.join("context").display().to_string(),
        ]);
        case.meanwhile = Some(Box::new(move |_| {
            let _ = fs::write(meanwhile, "FROM scratch\nLABEL a=b\n");
        }));
        Ok(case)
    }),
    ("context: links in a ring", |p| {
        p.write("context/a", "x")?;
        let context = p.folder.join("context");
        symlink("loop2", context.join("loop1"))?;
        symlink("loop1", context.join("loop2"))?;
        symlink(".", context.join("self"))?;
        symlink("..", context.join("up"))?;
        Ok(Case::works(p.build("FROM scratch\nCOPY . /\nCOPY self/self/self/a /b\n")?))
    }),
    ("context: link in a ring, copied", |p| {
        fs::create_dir_all(p.folder.join("context"))?;
        symlink("loop", p.folder.join("context/loop"))?;
        Ok(Case::refused(p.build("FROM scratch\nCOPY loop/x /\n")?, "loop"))
    }),
    ("context: link to the outside", |p| {
        fs::create_dir_all(p.folder.join("context"))?;
        symlink(&p.canary, p.folder.join("context/out"))?;
        Ok(Case::refused(p.build("FROM scratch\nCOPY out/canary /\n")?, "out"))
    }),
    ("context: folders that are deep", |p| {
        let deep = p.folder.join("context").join("d/".repeat(900 * p.scale.min(2)));
        fs::create_dir_all(deep)?;
        Ok(Case::works(p.build("FROM scratch\nCOPY . /\n")?))
    }),
    ("context: odd names", |p| {
        for name in ["n\nl", "tab\t", "\u{1b}[31m", "-rf", " ", "\u{202e}abc", ".wh.x", ".wh..wh..opq", "..."]
        {
            p.write(&format!("context/{name}"), "x")?;
        }
        Ok(Case::new(p.build("FROM scratch\nCOPY . /\n")?, Expect::Anything))
    }),
    ("context: a file with a hole of 1 TiB", |p| {
        p.write("context/a", "x")?;
        let file = fs::File::create(p.folder.join("context/hole"))?;
        // A file system that cannot hold it is no place for this case.
        let length = if file.set_len(1 << 40).is_ok() { 1_u64 << 40 } else { 1 << 30 };
        file.set_len(length)?;
        p.write("context/.dockerignore", "hole\n")?;
        Ok(Case::works(p.build("FROM scratch\nCOPY . /\n")?))
    }),
    ("context: a device as a file", |p| {
        fs::create_dir_all(p.folder.join("context"))?;
        let node = p.folder.join("context/zero").display().to_string();
        super::program("mknod", &[&node, "c", "1", "5"])?;
        Ok(Case::new(p.build("FROM scratch\nCOPY zero /\n")?, Expect::Anything))
    }),
    ("context: file that grows while it is read", |p| {
        changing(p, |path, number| {
            let _ = fs::write(path, "x".repeat(10_000 + number));
        })
    }),
    ("context: file that comes and goes", |p| {
        changing(p, |path, number| {
            let _ = if number % 2 == 0 { fs::remove_file(path) } else { fs::write(path, "back") };
        })
    }),
    ("context: file that becomes a link to the outside", |p| {
        let canary = p.canary.clone();
        changing(p, move |path, number| {
            let _ = fs::remove_file(path);
            let _ =
                if number % 2 == 0 { symlink(canary.join("canary"), path) } else { fs::write(path, "file") };
        })
    }),
    ("context: folder that becomes a link to the outside", |p| {
        let canary = p.canary.clone();
        changing(p, move |path, number| {
            let folder = path.with_file_name("d");
            if number % 2 == 0 {
                let _ = fs::remove_dir_all(&folder);
                let _ = symlink(&canary, &folder);
            } else {
                let _ = fs::remove_file(&folder);
                let _ = fs::create_dir(&folder);
                let _ = fs::write(folder.join("canary"), "own");
            }
        })
    }),
];

/// A build of files one of which `change` changes, again and again, while it is read.
fn changing(place: &mut Place, change: impl Fn(&std::path::Path, usize) + Send + 'static) -> Result<Case> {
    for number in 0..300 {
        place.write(&format!("context/f{number:03}"), format!("{number}\n").repeat(2000))?;
    }
    let path = place.folder.join("context/f200");
    let arguments = place.build("FROM base0\nCOPY . /all/\nRUN ! grep -r alive /all\n")?;
    // What is seen may be gone a moment later; then the error names it.
    let mut case = Case::new(arguments, Expect::Anything);
    case.meanwhile = Some(Box::new(move |stop: &AtomicBool| {
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            change(&path, number);
        }
    }));
    Ok(case)
}
