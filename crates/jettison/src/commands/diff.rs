//! `jettison diff`: what differs between two images.

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;

use jettison_engine::Image;
use jettison_inspect::diff::{self, Difference, Files, Listing, Lone, Setting, Type};
use jettison_layer::Limits;
use jettison_oci::Platform;
use jettison_ui::bytes::for_people;
use jettison_ui::table::Table;
use serde_json::{Value, json};

use super::image_source::{self, Source};
use super::print;
use crate::args::{Diff, ReportFormat};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::proof;

/// The exit code of `--exit-code` if the images differ, as `diff` and `git diff` have it.
const DIFFERENT: u8 = 1;

/// One of the two images.
struct Side {
    name: String,
    image: Image,
    source: Source,
    files: Listing,
}

pub(crate) fn run(args: &Diff, environment: &Environment) -> Result<ExitCode, Failure> {
    let platform = image_source::platform(args.platform.as_deref())?;
    let mut from = Side::open(&args.from, &platform, environment)?;
    let mut to = Side::open(&args.to, &platform, environment)?;
    let shared = shared_layers(&from.image, &to.image);
    // What both stand on is read once.
    from.read(0..shared)?;
    to.files = from.files.clone();
    from.read(shared..from.image.manifest.layers.len())?;
    to.read(shared..to.image.manifest.layers.len())?;
    let answer = Answer {
        files: from.files.compare(&to.files, args.times),
        config: diff::settings(&from.image.config, &to.image.config),
        shared,
        from,
        to,
    };
    print(&match args.format {
        ReportFormat::Json => format!("{}\n", answer.object()),
        ReportFormat::Text => answer.for_reading(),
    })?;
    Ok(if args.exit_code && answer.differs() { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

/// How many layers, from the base on, are the same in both.
fn shared_layers(a: &Image, b: &Image) -> usize {
    let pairs = a.config.rootfs.diff_ids.iter().zip(&b.config.rootfs.diff_ids);
    pairs.take_while(|(a, b)| a == b).count()
}

impl Side {
    fn open(text: &str, platform: &Platform, environment: &Environment) -> Result<Self, Failure> {
        let source = Source::open(text, platform, environment)?;
        let (name, image) = source.only(text)?;
        source.fetch(image, environment)?;
        let (name, image) = (name.to_owned(), image.clone());
        Ok(Self { name, image, source, files: Listing::default() })
    }

    fn read(&mut self, layers: std::ops::Range<usize>) -> Result<(), Failure> {
        let all = self.image.manifest.layers.iter().zip(&self.image.config.rootfs.diff_ids);
        for (descriptor, diff_id) in all.skip(layers.start).take(layers.len()) {
            proof::with_layer(&self.source.store, descriptor, diff_id, |tar| {
                self.files.add(tar, &Limits::default())
            })?;
        }
        Ok(())
    }

    /// Bytes that a pull transfers.
    fn compressed(&self) -> u64 {
        self.image.manifest.packed_bytes()
    }

    fn object(&self) -> Value {
        json!({
            "image": self.name,
            "digest": self.image.descriptor.digest,
            "platform": self.image.config.platform().to_string(),
            "layers": self.image.manifest.layers.len(),
            "bytes": self.files.bytes(),
            "compressedBytes": self.compressed(),
        })
    }
}

struct Answer {
    from: Side,
    to: Side,
    files: Files,
    config: Vec<Setting>,
    shared: usize,
}

impl Answer {
    fn differs(&self) -> bool {
        let files = &self.files;
        let lists = [files.added.len(), files.removed.len(), files.changed.len(), self.config.len()];
        lists != [0; 4]
    }

    fn object(&self) -> Value {
        json!({
            "from": self.from.object(),
            "to": self.to.object(),
            "sharedLayers": self.shared,
            "files": self.files,
            "config": self.config,
        })
    }

    fn for_reading(&self) -> String {
        let mut text = self.sides();
        if self.from.image.descriptor.digest == self.to.image.descriptor.digest {
            return text + "\nthe same image\n";
        }
        text += &self.files_for_reading();
        if !self.config.is_empty() {
            text += "\nCONFIG\n";
            for setting in &self.config {
                text += &setting_for_reading(setting);
            }
        }
        if !self.differs() {
            text += "\nthe same files and the same config; only layers, times or history are others\n";
        }
        text
    }

    fn sides(&self) -> String {
        let mut table =
            Table::new(["", "IMAGE", "DIGEST", "PLATFORM", "LAYERS", "FILES", "TO PULL"]).right(&[4, 5, 6]);
        let (from, to) = (&self.from, &self.to);
        for (letter, side) in [("A", from), ("B", to)] {
            table.row([
                letter.to_owned(),
                plain(&side.name),
                side.image.descriptor.digest.short(),
                side.image.config.platform().to_string(),
                side.image.manifest.layers.len().to_string(),
                for_people(side.files.bytes()),
                for_people(side.compressed()),
            ]);
        }
        table.row([
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            format!("{} shared", self.shared),
            change(from.files.bytes(), to.files.bytes()),
            change(from.compressed(), to.compressed()),
        ]);
        table.to_string()
    }

    fn files_for_reading(&self) -> String {
        let files = &self.files;
        let mut text = format!(
            "\nFILES: {} added, {} removed, {} changed, {} the same\n",
            files.added.len(),
            files.removed.len(),
            files.changed.len(),
            files.same
        );
        for (sign, list) in [('+', &files.added), ('-', &files.removed)] {
            for (path, what) in folded(list) {
                text += &format!("{sign} {}  {what}\n", plain(&path));
            }
        }
        for changed in &files.changed {
            let differences: Vec<String> = changed.differences.iter().map(difference).collect();
            text += &format!("~ {}  {}\n", plain(&changed.path), plain(&differences.join(", ")));
        }
        let listed = |difference: &Difference| matches!(difference, Difference::Time { .. });
        if files.times_differ > 0 && !files.changed.iter().any(|c| c.differences.iter().all(listed)) {
            text +=
                &format!("{} differ in nothing but their time (--times lists them)\n", files.times_differ);
        }
        text
    }
}

/// A directory that is wholly new or gone is one line with all that is in it.
fn folded(list: &[Lone]) -> Vec<(String, String)> {
    let folders: HashSet<&str> =
        list.iter().filter(|lone| lone.kind == Type::Directory).map(|lone| lone.path.as_str()).collect();
    // What stands there itself, then files and bytes of it and below.
    let mut lines: BTreeMap<&str, (Option<Type>, u64, u64)> = BTreeMap::new();
    for lone in list {
        let mut above = lone.path.match_indices('/').map(|(slash, _)| &lone.path[..slash]);
        let top = above.find(|path| folders.contains(path)).unwrap_or(&lone.path);
        let line = lines.entry(top).or_default();
        if top == lone.path {
            line.0 = Some(lone.kind);
        }
        line.1 += u64::from(lone.kind != Type::Directory);
        line.2 += lone.bytes;
    }
    let line = |(path, (kind, files, bytes)): (&str, (Option<Type>, u64, u64))| match (kind, files) {
        (Some(Type::Directory), 0) => (format!("{path}/"), "empty".to_owned()),
        (Some(Type::Directory), 1) => (format!("{path}/"), format!("1 file, {}", for_people(bytes))),
        (Some(Type::Directory), _) => (format!("{path}/"), format!("{files} files, {}", for_people(bytes))),
        (None | Some(Type::File), _) => (path.to_owned(), for_people(bytes)),
        (Some(other), _) => (path.to_owned(), type_name(other).to_owned()),
    };
    lines.into_iter().map(line).collect()
}

fn difference(difference: &Difference) -> String {
    match difference {
        Difference::Type { from, to } => format!("{} → {}", type_name(*from), type_name(*to)),
        Difference::Content => "content".to_owned(),
        Difference::Size { from, to } => format!("size {} → {}", for_people(*from), for_people(*to)),
        Difference::Mode { from, to } => format!("mode {from} → {to}"),
        Difference::Owner { from, to } => format!("owner {from} → {to}"),
        Difference::Target { from, to } => format!("target {from} → {to}"),
        Difference::Attributes { names } => format!("attributes {}", names.join(" ")),
        Difference::Time { from, to } => format!("time {from} → {to}"),
    }
}

fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::File => "file",
        Type::Directory => "directory",
        Type::Symlink => "symbolic link",
        Type::Device => "device",
        Type::Pipe => "pipe",
    }
}

fn setting_for_reading(setting: &Setting) -> String {
    // EXPOSE and VOLUME are sets: that they are there is all that they say.
    let value = |value: &Value| if *value == json!({}) { String::new() } else { format!("  {value}") };
    let text = match (&setting.from, &setting.to) {
        (Some(from), Some(to)) => format!("~ {}  {from} → {to}", setting.name),
        (Some(from), None) => format!("- {}{}", setting.name, value(from)),
        (None, Some(to)) => format!("+ {}{}", setting.name, value(to)),
        (None, None) => String::new(),
    };
    format!("{}\n", plain(&text))
}

/// `+12kB`, `-3MB`, `0B`.
fn change(from: u64, to: u64) -> String {
    match from.cmp(&to) {
        std::cmp::Ordering::Less => format!("+{}", for_people(to - from)),
        std::cmp::Ordering::Greater => format!("-{}", for_people(from - to)),
        std::cmp::Ordering::Equal => "0B".to_owned(),
    }
}

/// Names come from the images and may hold anything.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
