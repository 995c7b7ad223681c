//! Fuzzing without a fuzzer: inputs of the corpus, changed at random, given to an entry for some seconds. It knows nothing
//! of coverage, but runs on the stable compiler; `cargo xtask fuzz` calls it through the ignored tests `mutated_*`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Variable with the seconds for each target.
pub(crate) const SECONDS: &str = "JETTISON_FUZZ_SECONDS";
/// Longest that an input may take, on a loaded machine and unoptimised.
const INPUT_MAX: Duration = Duration::from_secs(20);
/// Longest input that is made, bytes.
const INPUT_BYTES_MAX: usize = 32 << 10;
/// What inputs are made of besides each other.
const WORDS: [&str; 58] = [
    "FROM ",
    " AS ",
    "ARG ",
    "ENV ",
    "RUN ",
    "COPY ",
    "ADD ",
    "ONBUILD ",
    "SHELL ",
    "HEALTHCHECK ",
    "EXPOSE ",
    "USER ",
    "WORKDIR ",
    "VOLUME ",
    "LABEL ",
    "STOPSIGNAL ",
    "CMD ",
    "ENTRYPOINT ",
    "MAINTAINER ",
    "scratch",
    "--from=",
    "--mount=",
    "--chmod=",
    "--platform=",
    "--link",
    "--exclude=",
    "--",
    "type=cache",
    ",target=/x",
    ",id=a",
    "<<EOF",
    "<<-\"E\"",
    "\nEOF\n",
    "\nE\n",
    "$A",
    "${A",
    "${A:-",
    "${A:?x}",
    "${A//",
    "/b}",
    "}",
    "\\\n",
    "`\n",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\"",
    "'",
    "[\"a\"]",
    "# escape=`\n",
    "# check=skip=all\n",
    "# syntax=a\n",
    "\u{feff}",
    "!",
    "**/",
    "\0",
    "\u{a0}",
];

/// Changes inputs of the corpus of `target` for the seconds that [`SECONDS`] says. The input that makes `entry` panic is
/// kept in the corpus.
pub(crate) fn for_a_while(target: &str, entry: fn(&[u8])) {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).expect("the corpus is there");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a folder can be read").path()).collect();
    paths.sort();
    let corpus: Vec<Vec<u8>> =
        paths.iter().map(|path| std::fs::read(path).expect("a file can be read")).collect();
    let mut random = Random(seed());
    let end = Instant::now() + Duration::from_secs(seconds);
    let tried: Arc<Mutex<(Instant, Vec<u8>)>> = Arc::new(Mutex::new((Instant::now(), Vec::new())));
    watch(Arc::clone(&tried), folder.clone());
    while Instant::now() < end {
        let input = changed(&corpus, &mut random);
        *tried.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), input.clone());
        let Err(panic) = std::panic::catch_unwind(|| entry(&input)) else { continue };
        let path = folder.join(format!("found-{:016x}", random.0));
        std::fs::write(&path, &input).expect("a file can be written");
        let why =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        panic!("{}: {}", path.display(), why.unwrap_or("no text"));
    }
}

/// Keeps an input that takes too long, and ends everything: nobody else could.
#[allow(clippy::print_stderr, reason = "nobody else is left to say it")]
fn watch(tried: Arc<Mutex<(Instant, Vec<u8>)>>, folder: PathBuf) {
    std::thread::spawn(move || {
        // The tests of other targets go on behind this one; then nobody holds the input any more.
        while Arc::strong_count(&tried) > 1 {
            std::thread::sleep(Duration::from_secs(1));
            let tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
            if tried.0.elapsed() > INPUT_MAX {
                let path = folder.join("found-slow");
                std::fs::write(&path, &tried.1).expect("a file can be written");
                eprintln!("{}: it takes longer than {} s", path.display(), INPUT_MAX.as_secs());
                std::process::abort();
            }
        }
    });
}

/// Another one each time: what a run does not find the next one may.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap_or_default() | 1
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % end.max(1)
    }
}

fn changed(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(24)).min(input.len());
        match random.below(6) {
            0 => drop(input.drain(at..end)),
            1 => {
                let word = WORDS[random.below(WORDS.len())];
                input.splice(at..at, word.bytes());
            }
            2 if at < input.len() => input[at] = u8::try_from(random.below(256)).unwrap_or_default(),
            3 => {
                let part = input[at..end].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, part);
            }
            4 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let part = &other[from..(from + random.below(200)).min(other.len())];
                input.splice(at..at, part.iter().copied());
            }
            _ => input.truncate(at.max(input.len() / 2)),
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}
