//! The last lines of a build: size, digest, how much smaller the image is than the stage that built it; and where the
//! bytes are, if they are in more than one place.

use jettison_engine::BuiltImage;

use crate::bytes::for_people;
use crate::clean::{self, Colour};

/// Parts and stages that are named; of the rest the number.
const NAMED_MAX: usize = 3;
/// Characters of an instruction that are shown.
const INSTRUCTION_CHARS: usize = 40;
/// Speed of the connection that a pull is estimated for, bytes a second: 100 Mbit/s.
const PULL_BYTES_A_SECOND: f64 = 12.5e6;

/// How long a pull of so many bytes takes: `about 0.2 s at 100 Mbit/s`.
pub fn pull_time(bytes: u64) -> String {
    format!("about {:.1} s at 100 Mbit/s", bytes as f64 / PULL_BYTES_A_SECOND)
}

/// One or two lines, without a line end.
pub fn summary(image: &BuiltImage) -> String {
    let mut line = format!(
        "{} ({} to pull, {}), {}",
        for_people(image.uncompressed_bytes),
        for_people(image.compressed_bytes),
        pull_time(image.compressed_bytes),
        image.manifest.digest
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
    let parts = image.parts.iter().map(|part| (instruction(&part.what), part.bytes)).collect();
    let stages = image.left_behind.iter().map(|stage| (plain(&stage.name), stage.bytes)).collect();
    let places = [("from ", several(parts)), ("left behind: ", several(stages))];
    let places = places.iter().filter_map(|(title, list)| Some(format!("{title}{}", list.as_ref()?)));
    let places: Vec<String> = places.collect();
    if !places.is_empty() {
        line.push_str(&format!("\n{}; `jettison size` says more", places.join("; ")));
    }
    line
}

/// The largest of some things; `None` if there are not several: then the first line has said it.
fn several(mut list: Vec<(String, u64)>) -> Option<String> {
    list.retain(|(_, bytes)| *bytes > 0);
    if list.len() < 2 {
        return None;
    }
    list.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let rest = list.split_off(list.len().min(NAMED_MAX));
    let mut words: Vec<String> =
        list.into_iter().map(|(name, bytes)| format!("{name} {}", for_people(bytes))).collect();
    if !rest.is_empty() {
        let bytes = rest.iter().map(|(_, bytes)| bytes).sum();
        words.push(format!("{} more {}", rest.len(), for_people(bytes)));
    }
    Some(words.join(", "))
}

/// An instruction of a history as it was written, cut.
fn instruction(text: &str) -> String {
    let text = text.strip_suffix("# buildkit").unwrap_or(text).trim().replacen("RUN /bin/sh -c ", "RUN ", 1);
    let text = plain(&text);
    if text.chars().count() <= INSTRUCTION_CHARS {
        return text;
    }
    format!("{}…", text.chars().take(INSTRUCTION_CHARS - 1).collect::<String>().trim_end())
}

fn plain(text: &str) -> String {
    clean::line(&text.replace(['\n', '\r'], " "), Colour::Drop)
}

#[cfg(test)]
mod tests {
    use jettison_engine::{LeftBehind, Part};
    use jettison_oci::{Descriptor, Digest, media_type};

    use super::*;

    fn image(uncompressed_bytes: u64, stages: &[(&str, u64)], parts: &[(&str, u64)]) -> BuiltImage {
        let stage = |(name, bytes): &(&str, u64)| LeftBehind {
            name: (*name).to_owned(),
            bytes: *bytes,
            snapshot: None,
        };
        let part = |(what, bytes): &(&str, u64)| Part { what: (*what).to_owned(), bytes: *bytes };
        BuiltImage {
            manifest: Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(b"m"), 400),
            config: Some(Digest::sha256(b"c")),
            compressed_bytes: 1_900_000,
            uncompressed_bytes,
            parts: parts.iter().map(part).collect(),
            left_behind: stages.iter().map(stage).collect(),
        }
    }

    #[test]
    fn one_line_unless_there_is_more_to_say() {
        let one = [("COPY a /a # buildkit", 6_550_000)];
        let of = |bytes, stages: &[_], parts: &[_]| summary(&image(bytes, stages, parts));
        insta::assert_snapshot!(of(6_550_000, &[("build", 783_000_000)], &one), @"6.55MB (1.9MB to pull, about 0.2 s at 100 Mbit/s), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a, 120 times smaller than build (783MB)");
        insta::assert_snapshot!(of(6_550_000, &[("build", 10_000_000)], &one), @"6.55MB (1.9MB to pull, about 0.2 s at 100 Mbit/s), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a, 1.5 times smaller than build (10MB)");
        insta::assert_snapshot!(of(6_550_000, &[("build", 6_600_000)], &one), @"6.55MB (1.9MB to pull, about 0.2 s at 100 Mbit/s), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a");
        insta::assert_snapshot!(of(0, &[], &[]), @"0B (1.9MB to pull, about 0.2 s at 100 Mbit/s), sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a");
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
        let text = summary(&image(87_000_030, &stages, &parts));
        insta::assert_snapshot!(text.lines().nth(1).unwrap(), @"from debian:12-slim 75MB, RUN apt-get update && apt-get install -… 12MB, COPY a /a 20B, 1 more 10B; left behind: build 783MB, assets 5kB; `jettison size` says more");
    }
}
