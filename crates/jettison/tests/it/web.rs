//! A web server on the loopback interface for the tests: pages with entity tags, redirects, and Git repositories.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::fixture::have;

/// What a path answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// `Authorization` that is needed.
    pub(crate) wants: Option<String>,
}

impl Page {
    pub(crate) fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), ..Self::default() }
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self { status: 302, ..Self::default() }.header("Location", to)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn wants(mut self, authorization: &str) -> Self {
        self.wants = Some(authorization.to_owned());
        self
    }
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct State {
    pages: BTreeMap<String, Page>,
    seen: Vec<Seen>,
    /// `Authorization` that `/git/` wants.
    git_wants: Option<String>,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    repositories: TempDir,
    state: Arc<Mutex<State>>,
}

impl Web {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let repositories = tempfile::tempdir().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let (shared, root) = (Arc::clone(&state), repositories.path().to_owned());
        // The thread ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, root) = (Arc::clone(&shared), root.clone());
                std::thread::spawn(move || serve(stream, &shared, &root));
            }
        });
        Self { address, repositories, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn put(&self, path: &str, page: Page) {
        self.state.lock().unwrap().pages.insert(path.to_owned(), page);
    }

    pub(crate) fn git_wants(&self, authorization: &str) {
        self.state.lock().unwrap().git_wants = Some(authorization.to_owned());
    }

    /// Takes the requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// A repository that is served at `/git/NAME.git`. `None` where git is missing.
    pub(crate) fn repository(&self, name: &str) -> Option<Repository> {
        if !have("git") {
            return None;
        }
        let folder = self.repositories.path().join(format!("{name}.git"));
        fs::create_dir_all(&folder).unwrap();
        let repository = Repository { url: self.url(&format!("/git/{name}.git")), folder };
        repository.git(&["init", "-q", "-b", "main"]);
        repository.git(&["config", "http.receivepack", "false"]);
        Some(repository)
    }
}

/// A repository with a work tree.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) url: String,
    pub(crate) folder: PathBuf,
}

impl Repository {
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "protocol.file.allow=always"])
            .args(args)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs([("HOME", "/nonexistent"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@x")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@x")])
            .envs([("GIT_AUTHOR_DATE", "1000000000 +0000"), ("GIT_COMMITTER_DATE", "1000000000 +0000")])
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes files and commits everything; returns the commit.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let path = self.folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>, repositories: &Path) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((method, target, headers)) = read_head(&mut reader) {
        let mut body = Vec::new();
        read_body(&mut reader, &headers, &mut body);
        let path = target.split('?').next().unwrap().to_owned();
        let (page, wants) = {
            let state = state.lock().unwrap();
            (state.pages.get(&path).cloned(), state.git_wants.clone())
        };
        let authorized = |wants: &Option<String>| {
            wants.as_ref().is_none_or(|wanted| headers.get("authorization") == Some(wanted))
        };
        let answer = match page {
            Some(page) if !authorized(&page.wants) => Page { status: 401, ..Page::default() },
            Some(page) => conditional(page, &headers),
            None if path.starts_with("/git/") && !authorized(&wants) => {
                Page { status: 401, ..Page::default() }.header("WWW-Authenticate", "Basic realm=\"x\"")
            }
            None if path.starts_with("/git/") => backend(&method, &target, &headers, &body, repositories),
            None => Page { status: 404, body: b"no such page".to_vec(), ..Page::default() },
        };
        state.lock().unwrap().seen.push(Seen { status: answer.status, headers });
        let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !answer.headers.iter().any(|(name, _)| name == "Content-Length") {
            head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
        }
        head.push_str("\r\n");
        let sent = writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&answer.body));
        // A body that is shorter than its length ends the connection.
        if sent.is_err() || answer.headers.iter().any(|(name, _)| name == "Content-Length") {
            return;
        }
    }
}

fn conditional(page: Page, headers: &BTreeMap<String, String>) -> Page {
    let tag = page.headers.iter().find(|(name, _)| name == "ETag").map(|(_, value)| value);
    if tag.is_some() && headers.get("if-none-match") == tag {
        return Page { status: 304, body: Vec::new(), ..page };
    }
    page
}

type Head = (String, String, BTreeMap<String, String>);

fn read_head(reader: &mut impl BufRead) -> Option<Head> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => return Some((method, target, headers)),
        };
    }
}

fn read_body(reader: &mut impl BufRead, headers: &BTreeMap<String, String>, body: &mut Vec<u8>) {
    if headers.get("transfer-encoding").is_some_and(|v| v == "chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; length + 2];
            reader.read_exact(&mut chunk).unwrap();
            if length == 0 {
                return;
            }
            body.extend(&chunk[..length]);
        }
    }
    let length = headers.get("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_end(body).unwrap();
}

/// git's own server program.
fn backend(
    method: &str,
    target: &str,
    headers: &BTreeMap<String, String>,
    body: &[u8],
    repositories: &Path,
) -> Page {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // The repositories have work trees: what is served is their `.git`.
    let path = path.strip_prefix("/git").unwrap().replacen(".git/", ".git/.git/", 1);
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", repositories)
        .envs([("GIT_HTTP_EXPORT_ALL", "1"), ("REQUEST_METHOD", method), ("QUERY_STRING", query)])
        .env("PATH_INFO", path)
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("CONTENT_TYPE", headers.get("content-type").map_or("", String::as_str))
        .env("HTTP_CONTENT_ENCODING", headers.get("content-encoding").map_or("", String::as_str))
        .env("GIT_PROTOCOL", headers.get("git-protocol").map_or("", String::as_str))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(body);
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(0);
    let mut page =
        Page { status: 200, body: output[(end + 4).min(output.len())..].to_vec(), ..Page::default() };
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => page.status = status[..3].parse().unwrap(),
            Some(("Content-Length", _)) | None => {}
            Some((name, value)) => page = page.header(name, value),
        }
    }
    page
}
