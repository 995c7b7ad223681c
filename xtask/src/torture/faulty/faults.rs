//! What goes wrong at the faulty registry, and how often.

use crate::random::Random;

/// What happens to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The connection ends before the request is read.
    LoseRequest,
    /// So many hundredths of its body are read, then the connection ends.
    CutRequest(u8),
    /// What was asked for is done; the answer never comes.
    LoseAnswer,
    /// So many hundredths of the answer's body come.
    CutAnswer(u8),
    /// The body comes in small pieces.
    Slow,
    /// The answer promises more than comes.
    WrongLength,
    /// The answer's digest is another.
    WrongDigest,
    /// A byte of the body is another.
    Garble,
    /// The whole comes where a part was asked for.
    IgnoreRange,
    /// A blob lies on another host.
    Redirect,
    /// Another status, with these headers.
    Status(&'static str, &'static str),
}

/// What goes wrong in a trial.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: &'static str,
    faults: &'static [Fault],
    /// In a hundred requests.
    often: u8,
    /// Faults that are still to come; none are after that.
    left: u32,
    /// Tokens are wanted, and die early.
    pub tokens: bool,
    /// Mounts of blobs become uploads.
    pub no_mounts: bool,
    /// Bodies of requests may have 4 MiB.
    pub small_chunks: bool,
    random: Random,
}

const ALL: &[Fault] = &[
    Fault::LoseRequest,
    Fault::CutRequest(40),
    Fault::LoseAnswer,
    Fault::CutAnswer(60),
    Fault::Slow,
    Fault::WrongLength,
    Fault::WrongDigest,
    Fault::Garble,
    Fault::IgnoreRange,
    Fault::Redirect,
    Fault::Status("429 Too Many Requests", "retry-after: 0\r\n"),
    Fault::Status("416 Range Not Satisfiable", ""),
    Fault::Status("401 Unauthorized", ""),
    Fault::Status("500 Internal Server Error", ""),
    Fault::Status("502 Bad Gateway", "content-type: text/html\r\n"),
    Fault::Status("404 Not Found", ""),
];

/// Name, faults, how many in a hundred requests, and how many at most; then tokens, mounts refused, small chunks.
type Kind = (&'static str, &'static [Fault], u8, u32, [bool; 3]);

const KINDS: &[Kind] = &[
    ("half of the answers lost", &[Fault::LoseAnswer], 50, u32::MAX, [false; 3]),
    ("a few answers lost", &[Fault::LoseAnswer], 20, 3, [false; 3]),
    ("tokens that die early", &[], 0, 0, [true, false, false]),
    ("chunks of 4 MiB, mounts refused", &[], 0, 0, [false, true, true]),
    ("everything now and then", ALL, 15, u32::MAX, [true, true, false]),
    ("one fault of any kind", ALL, 40, 1, [false; 3]),
    ("bodies cut", &[Fault::CutRequest(50), Fault::CutAnswer(50)], 40, 4, [false, false, true]),
    ("too many requests", &[Fault::Status("429 Too Many Requests", "retry-after: 1\r\n")], 30, 6, [false; 3]),
    ("redirects to another host", &[Fault::Redirect], 100, u32::MAX, [true, false, false]),
    ("contents that are wrong", &[Fault::Garble, Fault::WrongDigest, Fault::WrongLength], 60, 2, [false; 3]),
    ("slow bodies", &[Fault::Slow], 100, u32::MAX, [false; 3]),
    ("resets and errors", &[Fault::LoseRequest, Fault::Status("500 x", "")], 30, 3, [true, true, true]),
    (
        "ranges ignored or refused",
        &[Fault::IgnoreRange, Fault::CutAnswer(30), Fault::Status("416 x", "")],
        60,
        4,
        [false; 3],
    ),
];

/// How many kinds of plans there are.
pub const COUNT: usize = KINDS.len();

impl Plan {
    /// The plan of this number.
    pub fn new(index: usize, random: Random) -> Self {
        let (name, faults, often, left, [tokens, no_mounts, small_chunks]) = KINDS[index % COUNT];
        Self { name, faults, often, left, tokens, no_mounts, small_chunks, random }
    }

    /// Nothing goes wrong.
    pub fn calm(random: Random) -> Self {
        Self {
            name: "nothing wrong",
            faults: &[],
            often: 0,
            left: 0,

            tokens: false,
            no_mounts: false,
            small_chunks: false,
            random,
        }
    }

    /// What happens to the request at hand.
    pub fn draw(&mut self) -> Option<Fault> {
        if self.faults.is_empty() || self.left == 0 || self.random.below(100) >= usize::from(self.often) {
            return None;
        }
        self.left -= 1;
        Some(self.random.pick(self.faults).clone())
    }
}
