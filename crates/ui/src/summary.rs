//! The last lines of a build: size, digest, how much smaller the image is than the stage that built it; and where the
//! bytes are: each further line only if it says something that the first one has not.

use jettison_engine::BuiltImage;
use jettison_inspect::brought::Brought;
use jettison_inspect::size::{Duplicate, FileUsage};
use jettison_oci::Digest;

use crate::bytes::for_people;
use crate::clean::{self, Colour};

/// Parts and stages that are named; of the rest the number.
const NAMED_MAX: usize = 3;
/// Characters of an instruction that are shown.
const INSTRUCTION_CHARS: usize = 40;
/// Characters of the name of a folder or a package.
const NAME_CHARS: usize = 32;
/// Characters of a path.
const PATH_CHARS: usize = 60;
/// Width of the words before each line.
const TITLE_CHARS: usize = 13;
/// What is never seen is worth a line from this part of the image on,
const HIDDEN_PART: u64 = 100;
/// and from so many bytes.
const HIDDEN_BYTES_MIN: u64 = 10_000;
/// Speed of the connection that a pull is estimated for, bytes a second: 100 Mbit/s.
const PULL_BYTES_A_SECOND: f64 = 12.5e6;

/// How long a pull of so many bytes takes: `about 0.2 s at 100 Mbit/s`.
pub fn pull_time(bytes: u64) -> String {
    let seconds = bytes as f64 / PULL_BYTES_A_SECOND;
    if seconds < 0.1 {
        return "below 0.1 s at 100 Mbit/s".to_owned();
    }
    format!("about {seconds:.1} s at 100 Mbit/s")
}

/// One line, and further ones for what is worth it; without a line end. Of an index the same for each of its images.
/// `brought` is what the steps of [`BuiltImage::images`] brought.
pub fn summary(image: &BuiltImage, brought: &[Option<Brought>]) -> String {
    let images: Vec<(&BuiltImage, Option<&Brought>)> = image
        .images()
        .enumerate()
        .map(|(n, image)| (image, brought.get(n).and_then(Option::as_ref)))
        .collect();
    let mut lines = Vec::new();
    match images[..] {
        // An index over one image has its digest, and else nothing to say.
        [(only, brought)] => {
            lines.push(first_line(only, &image.manifest.digest));
            lines.extend(further_lines(only, brought));
        }
        _ => {
            lines.push(format!(
                "{} for {} platforms ({} packed), {}",
                for_people(image.uncompressed_bytes),
                images.len(),
                for_people(image.compressed_bytes),
                image.manifest.digest
            ));
            for ((platform, _), (image, brought)) in image.platforms.iter().zip(images) {
                lines.push(format!("{platform}: {}", first_line(image, &image.manifest.digest)));
                lines.extend(further_lines(image, brought));
            }
        }
    }
    if lines.iter().any(|line| line.starts_with(' ')) {
        lines.push("  `jettison size` says more".to_owned());
    }
    lines.join("\n")
}

/// Where the bytes of an image are.
fn further_lines(image: &BuiltImage, brought: Option<&Brought>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |title: &str, words: Option<String>| {
        lines.extend(words.map(|words| format!("  {title:<TITLE_CHARS$}{words}")));
    };
    let parts = image.parts.iter().map(|part| (instruction(&part.what), part.bytes)).collect();
    add("from", several(parts));
    if let Some(brought) = brought {
        add("added in", Some(list(&brought.folders, brought.more[0])).filter(|_| brought.folders.len() > 1));
        add("packages", Some(list(&brought.packages, brought.more[1])).filter(|words| !words.is_empty()));
        add("hidden", hidden(image, brought));
        add("twice", twice(&brought.duplicates));
    }
    let stages = image.left_behind.iter().map(|stage| (plain(&stage.name), stage.bytes)).collect();
    add("left behind", several(stages));
    lines
}

/// Sizes, digest, how much smaller than a stage.
fn first_line(image: &BuiltImage, digest: &Digest) -> String {
    let mut line = format!(
        "{} ({} to pull, {}), {}",
        for_people(image.uncompressed_bytes),
        for_people(image.compressed_bytes),
        pull_time(image.compressed_bytes),
        digest
    );
    // An image without files is infinitely smaller than anything.
    if let Some(stage) = image.left_behind.first().filter(|_| image.uncompressed_bytes > 0) {
        let ratio = stage.bytes as f64 / image.uncompressed_bytes as f64;
        if ratio >= 1.05 {
            let decimals = usize::from(ratio < 9.95);
            let (name, bytes) = (plain(&stage.name), for_people(stage.bytes));
            line.push_str(&format!(", {ratio:.decimals$} times smaller than {name} ({bytes})"));
        }
    }
    line
}

/// The largest of some things; `None` if there are not several: then the first line has said it.
fn several(mut things: Vec<(String, u64)>) -> Option<String> {
    things.retain(|(_, bytes)| *bytes > 0);
    if things.len() < 2 {
        return None;
    }
    things.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Some(named(&things, (0, 0)))
}

fn list(usage: &[FileUsage], more: (usize, u64)) -> String {
    let things: Vec<(String, u64)> =
        usage.iter().map(|entry| (shortened(&plain(&entry.path), NAME_CHARS), entry.bytes)).collect();
    named(&things, more)
}

/// The first few by name, the others and `more` as a number.
fn named(things: &[(String, u64)], more: (usize, u64)) -> String {
    let (first, rest) = things.split_at(things.len().min(NAMED_MAX));
    let mut words: Vec<String> =
        first.iter().map(|(name, bytes)| format!("{name} {}", for_people(*bytes))).collect();
    let count = rest.len() + more.0;
    if count > 0 {
        let bytes = rest.iter().map(|(_, bytes)| *bytes).fold(more.1, u64::saturating_add);
        words.push(format!("{count} more {}", for_people(bytes)));
    }
    words.join(", ")
}

/// What is transferred and never seen, if it is a noticeable part of the image: of which step, and which one hides it.
fn hidden(image: &BuiltImage, brought: &Brought) -> Option<String> {
    let bytes = brought.hidden.iter().map(|hidden| hidden.bytes).fold(0, u64::saturating_add);
    if bytes < (image.uncompressed_bytes / HIDDEN_PART).max(HIDDEN_BYTES_MIN) {
        return None;
    }
    let worst = brought.hidden.first()?;
    let steps: Vec<&str> =
        image.parts.iter().filter(|part| !part.is_base).map(|part| part.what.as_str()).collect();
    let of = match worst.of {
        Some(step) => (*steps.get(step)?).to_owned(),
        None => image.parts.iter().find(|part| part.is_base)?.what.clone(),
    };
    let by = steps.get(worst.by)?;
    let mut words = format!(
        "{} of {}, overwritten or deleted by {}",
        for_people(worst.bytes),
        instruction(&of),
        instruction(by)
    );
    if bytes > worst.bytes {
        words.push_str(&format!("; {} more", for_people(bytes - worst.bytes)));
    }
    Some(words)
}

/// The content that wastes most by being there several times.
fn twice(duplicates: &[Duplicate]) -> Option<String> {
    let worst = duplicates.first()?;
    let paths: Vec<String> =
        worst.paths.iter().take(2).map(|path| shortened(&plain(path), PATH_CHARS)).collect();
    let mut words = format!("{} {}", for_people(worst.bytes), paths.join(" and "));
    if worst.paths.len() > 2 {
        words.push_str(&format!(" and {} more", worst.paths.len() - 2));
    }
    let rest = duplicates[1..].iter().map(|duplicate| duplicate.wasted_bytes).fold(0, u64::saturating_add);
    if rest > 0 {
        words.push_str(&format!("; {} more", for_people(rest)));
    }
    Some(words)
}

fn instruction(text: &str) -> String {
    cut_instruction(text, INSTRUCTION_CHARS)
}

/// An instruction of a history as it was written, cut to so many characters.
pub fn cut_instruction(text: &str, chars_max: usize) -> String {
    let text = text.strip_suffix("# buildkit").unwrap_or(text).trim().replacen("RUN /bin/sh -c ", "RUN ", 1);
    shortened(&plain(&text), chars_max)
}

/// A text of at most so many characters.
fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(chars_max - 1).collect::<String>().trim_end())
}

fn plain(text: &str) -> String {
    clean::line(&text.replace(['\n', '\r'], " "), Colour::Drop)
}

#[cfg(test)]
mod tests {
    use jettison_engine::{Chain, LeftBehind, Part};
    use jettison_inspect::brought::Hidden;
    use jettison_oci::{Descriptor, Platform, media_type};

    use super::*;

    fn image(uncompressed_bytes: u64, stages: &[(&str, u64)], parts: &[(&str, u64)]) -> BuiltImage {
        let stage = |(name, bytes): &(&str, u64)| LeftBehind {
            name: (*name).to_owned(),
            bytes: *bytes,
            snapshot: None,
        };
        let part = |(what, bytes): &(&str, u64)| Part {
            what: (*what).to_owned(),
            bytes: *bytes,
            is_base: what.starts_with("debian"),
        };
        BuiltImage {
            manifest: Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(b"m"), 400),
            config: Some(Digest::sha256(b"c")),
            compressed_bytes: 1_900_000,
            uncompressed_bytes,
            parts: parts.iter().map(part).collect(),
            chain: Chain::default(),
            left_behind: stages.iter().map(stage).collect(),
            platforms: Vec::new(),
        }
    }

    #[test]
    fn one_line_unless_there_is_more_to_say() {
        let one = [("COPY a /a # buildkit", 6_550_000)];
        let of = |bytes, stages: &[_], parts: &[_]| summary(&image(bytes, stages, parts), &[]);
        insta::assert_snapshot!(of(6_550_000, &[("build", 783_000_000)], &one), @"6.55MB (1.9MB to pull, about 0.2 s at 100 Mbit/s), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a, 120 times smaller than build (783MB)");
        insta::assert_snapshot!(of(6_550_000, &[("build", 10_000_000)], &one), @"6.55MB (1.9MB to pull, about 0.2 s at 100 Mbit/s), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a, 1.5 times smaller than build (10MB)");
        insta::assert_snapshot!(of(6_550_000, &[("build", 6_600_000)], &one), @"6.55MB (1.9MB to pull, about 0.2 s at 100 Mbit/s), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a");
        insta::assert_snapshot!(of(0, &[], &[]), @"0B (1.9MB to pull, about 0.2 s at 100 Mbit/s), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a");
    }

    #[test]
    fn how_long_a_pull_takes() {
        assert_eq!(pull_time(1_200_000), "below 0.1 s at 100 Mbit/s");
        assert_eq!(pull_time(1_250_000), "about 0.1 s at 100 Mbit/s");
        assert_eq!(pull_time(544_000_000), "about 43.5 s at 100 Mbit/s");
    }

    #[test]
    fn where_the_bytes_are() {
        let parts = [
            ("debian:12-slim", 75_000_000),
            ("RUN /bin/sh -c apt-get update && apt-get install -y curl # buildkit", 12_000_000),
            ("COPY a\u{1b}[2J /a # buildkit", 20),
            ("COPY b /b # buildkit", 10),
            ("COPY c /c # buildkit", 0),
        ];
        let stages = [("build", 783_000_000), ("assets", 5_000)];
        let brought = Brought {
            folders: usage(&[("/usr/lib", 9_000_000), ("/var/lib", 2_000_000), ("/a", 20), ("/b", 10)]),
            packages: usage(&[("libcurl4", 800_000), ("curl", 500_000)]),
            hidden: vec![
                Hidden { of: Some(0), by: 1, bytes: 19_000_000 },
                Hidden { of: None, by: 0, bytes: 1000 },
            ],
            duplicates: vec![
                Duplicate { paths: twice(["/a", "/opt/a"]), bytes: 3_000_000, wasted_bytes: 3_000_000 },
                Duplicate { paths: twice(["/b", "/c"]), bytes: 1_000_000, wasted_bytes: 1_000_000 },
            ],
            more: [(7, 500), (0, 0)],
        };
        let text = summary(&image(87_000_030, &stages, &parts), &[Some(brought)]);
        insta::assert_snapshot!(text.split_once('\n').unwrap().1);
        let small = Hidden { of: Some(0), by: 1, bytes: 9000 };
        let quiet = Brought { folders: usage(&[("/a", 30)]), hidden: vec![small], ..Brought::default() };
        let text = summary(&image(87_000_030, &stages[..1], &parts[3..]), &[Some(quiet)]);
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn an_index_says_it_of_each_image() {
        let parts = [("debian:12-slim", 75_000_000), ("COPY app /app # buildkit", 6_000_000)];
        let of = |bytes| image(bytes, &[("build", 783_000_000)], &parts);
        let mut index = image(160_000_000, &[], &[]);
        index.platforms.push(("linux/amd64".parse::<Platform>().unwrap(), of(81_000_000)));
        let brought = Brought { folders: usage(&[("/app", 5_000_000), ("/etc", 10)]), ..Brought::default() };
        insta::assert_snapshot!("one_platform", summary(&index, &[Some(brought.clone())]));
        index.platforms.push(("linux/arm64/v8".parse::<Platform>().unwrap(), of(79_000_000)));
        insta::assert_snapshot!("two_platforms", summary(&index, &[Some(brought), None]));
    }

    fn usage(list: &[(&str, u64)]) -> Vec<FileUsage> {
        list.iter().map(|(path, bytes)| FileUsage { path: (*path).to_owned(), bytes: *bytes }).collect()
    }

    fn twice(paths: [&str; 2]) -> Vec<String> {
        paths.map(str::to_owned).to_vec()
    }
}
