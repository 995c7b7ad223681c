//! Credential helpers: programs `docker-credential-X` that keep secrets somewhere safer than a file.
//!
//! Source: docker/docker-credential-helpers, `client/command.go` and `credentials/`: a verb as the argument, the server
//! on standard input, JSON on standard output. Every call has a time limit: some wait for a desktop that is not there.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Identity;
use crate::Error;
use crate::transport::Cancel;

/// How long a program may take. Some open a browser or ask for a PIN.
const TIME_MAX: Duration = Duration::from_secs(60);
/// How often a waiting caller asks whether to stop.
const SLICE: Duration = Duration::from_millis(10);
/// Largest answer, bytes.
const ANSWER_LEN_MAX: u64 = 64 * 1024;

/// Why a program gave no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is not installed.
    Missing,
    /// The caller asked to stop.
    Canceled,
    /// Anything else, in its own words.
    Other(String),
}

impl Failure {
    pub(crate) fn into_error(self, suffix: &str, server: &str) -> Error {
        let reason = match self {
            Self::Canceled => return Error::Canceled,
            Self::Missing => "it is not installed".to_owned(),
            Self::Other(reason) => reason,
        };
        Error::CredentialProgram { program: name(suffix), server: server.to_owned(), reason }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    #[serde(default, rename = "ServerURL")]
    server_url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// The name of the program.
pub(crate) fn name(suffix: &str) -> String {
    format!("docker-credential-{suffix}")
}

/// Asks for the credentials of `server`; `None` if the program has none.
pub(crate) fn get(suffix: &str, server: &str, cancel: &Cancel) -> Result<Option<Identity>, Failure> {
    let output = call(suffix, "get", server.as_bytes(), cancel)?;
    if !output.success {
        // The text is the interface: `errCredentialsNotFoundMessage` in docker-credential-helpers.
        let words = output.text.to_ascii_lowercase();
        if words.contains("credentials not found") || words.contains("no credentials server url") {
            return Ok(None);
        }
        return Err(Failure::Other(output.text));
    }
    let stored: Stored = serde_json::from_str(&output.text)
        .map_err(|_| Failure::Other("its answer is not the JSON that was expected".to_owned()))?;
    if stored.username.is_empty() && stored.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(Identity::with_password(&stored.username, &stored.secret, &name(suffix))))
}

/// Stores credentials.
pub(crate) fn store(
    suffix: &str,
    server: &str,
    user: &str,
    secret: &str,
    cancel: &Cancel,
) -> Result<(), Failure> {
    let stored =
        Stored { server_url: server.to_owned(), username: user.to_owned(), secret: secret.to_owned() };
    let document = serde_json::to_vec(&stored).expect("three strings are always JSON");
    let output = call(suffix, "store", &document, cancel)?;
    if output.success { Ok(()) } else { Err(Failure::Other(output.text)) }
}

/// Erases credentials; they may be absent.
pub(crate) fn erase(suffix: &str, server: &str, cancel: &Cancel) -> Result<(), Failure> {
    let output = call(suffix, "erase", server.as_bytes(), cancel)?;
    let absent = output.text.to_ascii_lowercase().contains("not found");
    if output.success || absent { Ok(()) } else { Err(Failure::Other(output.text)) }
}

struct Output {
    success: bool,
    /// Standard output, or standard error if that is empty.
    text: String,
}

fn call(suffix: &str, verb: &str, input: &[u8], cancel: &Cancel) -> Result<Output, Failure> {
    // The suffix comes from a file and becomes part of a path.
    if suffix.is_empty() || suffix.contains(['/', '\0']) {
        return Err(Failure::Other("its name is not valid".to_owned()));
    }
    let other = |e: io::Error| Failure::Other(e.to_string());
    let mut child = Command::new(name(suffix))
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| if e.kind() == io::ErrorKind::NotFound { Failure::Missing } else { other(e) })?;
    let mut stdin = child.stdin.take().expect("it was asked for");
    let out = read_in_thread(child.stdout.take().expect("it was asked for"));
    let err = read_in_thread(child.stderr.take().expect("it was asked for"));
    // A program that does not read its input (`false`, say) is judged by its exit code.
    let _ = stdin.write_all(input);
    drop(stdin);
    let success = wait(&mut child, cancel)?;
    // Grandchildren may keep the pipes open; what came until now must do.
    let text = |receiver: &std::sync::mpsc::Receiver<String>| {
        receiver.recv_timeout(Duration::from_secs(1)).unwrap_or_default()
    };
    let (out, err) = (text(&out), text(&err));
    let words = if out.trim().is_empty() { err } else { out };
    let words = words.trim().to_owned();
    let text = if words.is_empty() && !success { "it failed without a word".to_owned() } else { words };
    Ok(Output { success, text })
}

fn read_in_thread(pipe: impl Read + Send + 'static) -> std::sync::mpsc::Receiver<String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.take(ANSWER_LEN_MAX).read_to_end(&mut bytes);
        sender.send(String::from_utf8_lossy(&bytes).into_owned())
    });
    receiver
}

fn wait(child: &mut Child, cancel: &Cancel) -> Result<bool, Failure> {
    let deadline = Instant::now() + TIME_MAX;
    loop {
        let failure = match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if cancel() => Failure::Canceled,
            Ok(None) if Instant::now() >= deadline => {
                Failure::Other(format!("it did not answer within {} s", TIME_MAX.as_secs()))
            }
            Ok(None) => {
                thread::sleep(SLICE);
                continue;
            }
            Err(error) => Failure::Other(error.to_string()),
        };
        let _ = child.kill();
        let _ = child.wait();
        return Err(failure);
    }
}
