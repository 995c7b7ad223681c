//! What is measured: each workload is a build context and a series of phases on it.
//!
//! They are those of the published comparison that the project started from: the founding example, many small steps,
//! many small files, one large tree, independent stages. `linear` is jettison alone, at three sizes each: costs that grow
//! faster than the work show there.

use std::fmt::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;

use crate::repository;

/// Small files.
const FILES: usize = 20_000;
/// Of these so many lie in one folder.
const FILES_PER_FOLDER: usize = 100;
/// Bytes of the one large file.
const FILE_BYTES: usize = 150_000_000;
/// Workloads of this name run only when they are asked for.
pub const LINEAR: &str = "linear";

/// What a builder may know when a phase begins.
pub enum Before {
    /// All that the phases before left.
    Nothing,
    /// Nothing at all; the base must be pulled.
    Forget,
    /// The base and nothing else.
    ForgetButBase,
}

/// Where the image goes.
#[derive(Clone, Copy)]
pub enum Ending {
    /// The builder's own store.
    Store,
    /// A file for `docker load`, its layers not compressed: the form that all of the builders can write.
    Archive,
    /// A file with an OCI layout, its layers compressed by gzip.
    Compressed,
    /// A registry, its layers compressed by gzip.
    Push,
}

/// One measured build.
pub struct Phase {
    /// What the row of the report says.
    pub label: &'static str,
    /// What the builder may know.
    pub before: Before,
    /// What happens to the context; the number is another one each time.
    pub edit: fn(&Path, u64) -> Result<()>,
}

/// A context and the builds of it.
pub struct Workload {
    /// For `--only`.
    pub name: &'static str,
    /// Makes the context.
    pub set_up: fn(&Path) -> Result<()>,
    /// Where images go.
    pub ending: Ending,
    /// The builds, in this order.
    pub phases: Vec<Phase>,
}

/// All workloads, in the order of the report.
pub fn all() -> Vec<Workload> {
    small().into_iter().chain(large()).collect()
}

fn phase(label: &'static str, before: Before, edit: fn(&Path, u64) -> Result<()>) -> Phase {
    Phase { label, before, edit }
}

/// Many steps, many files, many stages.
fn small() -> Vec<Workload> {
    use Before::{Forget, ForgetButBase, Nothing};
    vec![
        Workload {
            name: "example",
            set_up: example,
            ending: Ending::Store,
            phases: vec![
                phase("example: cold, with pull of the base", Forget, change_line),
                phase("example: no-op", Nothing, nothing),
                phase("example: one source line changed", Nothing, change_line),
            ],
        },
        Workload {
            name: "run50",
            set_up: empty,
            ending: Ending::Store,
            phases: vec![
                phase("50 × RUN true: none cached", ForgetButBase, many_runs::<50>),
                phase("50 × RUN true: all cached", Nothing, nothing),
            ],
        },
        Workload {
            name: "files",
            set_up: many_files::<FILES>,
            ending: Ending::Archive,
            phases: vec![
                phase("20,000 files, archive: first", Forget, change_file),
                phase("20,000 files, archive: no-op", Nothing, nothing),
                phase("20,000 files, archive: one changed", Nothing, change_file),
            ],
        },
        Workload {
            name: "files-push",
            set_up: many_files::<FILES>,
            ending: Ending::Push,
            phases: vec![
                phase("20,000 files, push: first", Forget, change_file),
                phase("20,000 files, push: no-op", Nothing, nothing),
                phase("20,000 files, push: one changed", Nothing, change_file),
            ],
        },
        Workload {
            name: "stages",
            set_up: empty,
            ending: Ending::Store,
            phases: vec![phase("6 independent stages of sleep 2", ForgetButBase, six_stages)],
        },
    ]
}

/// Many bytes.
fn large() -> Vec<Workload> {
    use Before::{Forget, ForgetButBase, Nothing};
    vec![
        Workload {
            name: "large",
            set_up: large_tree,
            ending: Ending::Compressed,
            phases: vec![phase("COPY --from of 0.9 GB, archive, gzip", ForgetButBase, nothing)],
        },
        Workload {
            name: "large-push",
            set_up: large_tree,
            ending: Ending::Push,
            phases: vec![phase("COPY --from of 0.9 GB, push", ForgetButBase, nothing)],
        },
        Workload {
            name: "file",
            set_up: large_file,
            ending: Ending::Compressed,
            phases: vec![
                phase("a file of 150 MB, archive, gzip: first", Forget, change_byte),
                phase("a file of 150 MB, archive, gzip: one byte changed", Nothing, change_byte),
            ],
        },
    ]
}

/// The same work at three sizes, each ten times the one before, or four times.
pub fn linear() -> Vec<Workload> {
    use Before::{Forget, ForgetButBase, Nothing};
    let files = |set_up, [first, again, changed]: [&'static str; 3]| Workload {
        name: LINEAR,
        set_up,
        ending: Ending::Archive,
        phases: vec![
            phase(first, Forget, change_file),
            phase(again, Nothing, nothing),
            phase(changed, Nothing, change_file),
        ],
    };
    let steps = |edit, [first, again]: [&'static str; 2]| Workload {
        name: LINEAR,
        set_up: empty,
        ending: Ending::Store,
        phases: vec![phase(first, ForgetButBase, edit), phase(again, Nothing, nothing)],
    };
    vec![
        files(many_files::<2_000>, ["2,000 files: first", "2,000 files: no-op", "2,000 files: one changed"]),
        files(
            many_files::<20_000>,
            ["20,000 files: first", "20,000 files: no-op", "20,000 files: one changed"],
        ),
        files(
            many_files::<200_000>,
            ["200,000 files: first", "200,000 files: no-op", "200,000 files: one changed"],
        ),
        steps(many_runs::<10>, ["10 × RUN true: none cached", "10 × RUN true: all cached"]),
        steps(many_runs::<100>, ["100 × RUN true: none cached", "100 × RUN true: all cached"]),
        steps(many_runs::<400>, ["400 × RUN true: none cached", "400 × RUN true: all cached"]),
    ]
}

fn nothing(_: &Path, _: u64) -> Result<()> {
    Ok(())
}

fn empty(_: &Path) -> Result<()> {
    Ok(())
}

/// The founding document's own build, as the published comparison measured it. The shipped example says CGO_ENABLED=0,
/// for which Debian's toolchain compiles seven seconds' worth of standard library again, whoever builds.
pub fn example(context: &Path) -> Result<()> {
    let source = repository::root().join("examples/hello-go");
    for name in ["main.go", "go.mod", ".dockerignore"] {
        std::fs::copy(source.join(name), context.join(name))?;
    }
    let text = "FROM golang:1.11 as build\nADD . /app\nWORKDIR /app\nRUN go build -o /myserver .\n\n\
                FROM scratch\nCOPY --from=build /myserver /myserver\nEXPOSE 8080\nCMD [\"/myserver\"]\n";
    Ok(std::fs::write(context.join("Dockerfile"), text)?)
}

/// Changes one line of it, to another one for each number.
pub fn change_line(context: &Path, nonce: u64) -> Result<()> {
    let text = std::fs::read_to_string(repository::root().join("examples/hello-go/main.go"))?;
    Ok(std::fs::write(
        context.join("main.go"),
        text.replace("Hello world!", &format!("Hello world {nonce}!")),
    )?)
}

fn many_runs<const STEPS: usize>(context: &Path, nonce: u64) -> Result<()> {
    let mut text = String::from("FROM golang:1.11\n");
    for number in 0..STEPS {
        writeln!(text, "RUN true {nonce} {number}")?;
    }
    Ok(std::fs::write(context.join("Dockerfile"), text)?)
}

fn many_files<const COUNT: usize>(context: &Path) -> Result<()> {
    let mut random = 42_u64;
    let folders = COUNT.div_ceil(FILES_PER_FOLDER);
    for number in 0..COUNT {
        let folder = context.join(format!("files/{:03}", number % folders));
        if number < folders {
            std::fs::create_dir_all(&folder)?;
        }
        std::fs::write(folder.join(format!("{number:05}.txt")), small_text(&mut random))?;
    }
    Ok(std::fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY files /files\n")?)
}

fn change_file(context: &Path, nonce: u64) -> Result<()> {
    Ok(std::fs::write(context.join("files/007/00007.txt"), format!("changed {nonce}\n"))?)
}

/// Text of 0.5 to 8 kB that compresses about as well as source code does.
pub fn small_text(random: &mut u64) -> String {
    const WORDS: &[&str] =
        &["func", "return", "layer", "digest", "err", "nil", "string", "{", "}", "=", "if", "range"];
    // Knuth's MMIX generator: the same files on every machine.
    let mut next = || {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) as usize
    };
    let length = 512 + next() % 7680;
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        let word = next();
        text.push_str(WORDS[word % WORDS.len()]);
        match word % 7 {
            0 => text.push_str(&format!("{:x}", next() & 0xffff)),
            1 => text.push('\n'),
            _ => text.push(' '),
        }
    }
    text
}

fn large_tree(context: &Path) -> Result<()> {
    let text = "FROM golang:1.11 as build\nFROM scratch\nCOPY --from=build /usr /usr\n";
    Ok(std::fs::write(context.join("Dockerfile"), text)?)
}

fn large_file(context: &Path) -> Result<()> {
    let mut random = 42;
    let mut text = String::with_capacity(FILE_BYTES + 10_000);
    while text.len() < FILE_BYTES {
        text.push_str(&small_text(&mut random));
    }
    std::fs::write(context.join("large"), &text[..FILE_BYTES])?;
    Ok(std::fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY large /\n")?)
}

/// Each time in another place.
fn change_byte(context: &Path, nonce: u64) -> Result<()> {
    let file = std::fs::File::options().write(true).open(context.join("large"))?;
    Ok(file.write_all_at(b"#", nonce * 7_654_321 % FILE_BYTES as u64)?)
}

fn six_stages(context: &Path, nonce: u64) -> Result<()> {
    let mut text = String::new();
    for stage in 0..6 {
        write!(text, "FROM golang:1.11 as stage{stage}\nRUN sleep 2 && echo {nonce} > /out{stage}\n\n")?;
    }
    text.push_str("FROM scratch\n");
    for stage in 0..6 {
        writeln!(text, "COPY --from=stage{stage} /out{stage} /")?;
    }
    Ok(std::fs::write(context.join("Dockerfile"), text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_texts_are_the_same_each_time_and_small() {
        let (mut one, mut two) = (42, 42);
        let texts: Vec<String> = (0..50).map(|_| small_text(&mut one)).collect();
        assert!(texts.iter().all(|text| *text == small_text(&mut two)));
        assert!(texts.iter().all(|text| (512..8300).contains(&text.len())));
    }

    #[test]
    fn the_line_that_is_changed_is_in_the_example() {
        let text = std::fs::read_to_string(repository::root().join("examples/hello-go/main.go")).unwrap();
        assert!(text.contains("\"Hello world!"), "else nothing would change");
    }
}
