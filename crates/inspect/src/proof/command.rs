//! From argv to a file that the kernel would execute: the working directory or PATH, links, permissions.
//!
//! Source of the look-up: runc `libcontainer/standard_init_linux.go`, Go `os/exec` LookPath; crun does the same.

use std::io;

use super::permission::Use;
use super::{Finding, Fix, Program, Proof, Subject, shown, words};
use crate::tree::{Place, Walk, read_start};

/// Bytes of a file that the kernel looks at. Source: Linux BINPRM_BUF_SIZE.
const START_BYTES: u64 = 256;
/// Most scripts that stand on each other. Source: Linux `fs/exec.c`, exec_binprm.
const SCRIPTS_MAX: usize = 5;
/// Most entries that are looked at to find out what somebody may have meant.
const SEARCHED_ENTRIES_MAX: usize = 200_000;
/// Folders in which nobody's program lies.
const NOT_SEARCHED: [&[u8]; 6] =
    [b"proc", b"sys", b"dev", b"usr/share/doc", b"usr/share/man", b"usr/share/locale"];

/// Why a command leads to no program.
enum Failure {
    Missing,
    Directory(Vec<u8>),
    NotExecutable(Place),
    Denied(Vec<u8>),
    Loop,
}

impl Proof<'_> {
    /// There is nothing to start: a base image, or a collection of files.
    pub(super) fn empty_command(&mut self) {
        let message =
            "the image has neither ENTRYPOINT nor CMD; it starts only with a command given".to_owned();
        self.warning("command-empty", Subject::Command, message)
            .fix("name the program", "CMD [\"/path/to/program\"]");
    }

    /// Follows a command to its program. What was meant is followed too if it is not what was written, so that all
    /// that is wrong is said at once. `depth` counts the scripts above.
    pub(super) fn command(&mut self, argv: &[String], depth: usize) -> io::Result<Option<Program>> {
        let name = &argv[0];
        let failure = match self.look_up(name)? {
            Ok(place) => return self.program(&place, depth),
            Err(failure) => failure,
        };
        let subject = self.subject.clone();
        match failure {
            Failure::Missing if self.is_shell_form(argv) => self.shell_missing(argv, depth),
            Failure::Missing => self.command_missing(argv, depth),
            Failure::Directory(path) => {
                let message = format!("{name} is a directory: {}", shown(&path));
                let words = self.keyword().words(format!("{}/program", shown(&path)));
                let text = format!("{} {}", self.keyword(), words::exec_form(&words));
                self.error("command-not-executable", subject, message).fix("name the program in it", text);
                Ok(None)
            }
            Failure::NotExecutable(place) => {
                self.not_executable(name, &place)?;
                self.program(&place, depth)
            }
            Failure::Denied(path) => {
                let message = format!(
                    "{name} cannot be reached: user {} may not enter {}",
                    self.identity.uid,
                    shown(&path)
                );
                let fixes = self.ways_to_permit(&shown(&path), Use::Enter)?;
                self.error("command-not-reachable", Subject::File(shown(&path)), message).fixes(fixes);
                Ok(None)
            }
            Failure::Loop => {
                let link = self.run(&format!("ln -sfn /path/to/program {name}"));
                self.error("command-not-found", subject, format!("{name}: symbolic links in a circle"))
                    .fix("let the link lead to the program", link);
                Ok(None)
            }
        }
    }

    /// Where a name leads, for the user of the image.
    fn look_up(&self, name: &str) -> io::Result<Result<Place, Failure>> {
        if name.contains('/') {
            return self.at(&self.absolute(name));
        }
        let mut failure = Failure::Missing;
        if !name.is_empty() {
            for directory in self.search_path() {
                match self.at(format!("{directory}/{name}").as_bytes())? {
                    Ok(place) => return Ok(Ok(place)),
                    Err(Failure::Missing | Failure::Directory(_)) => {}
                    Err(other) => failure = other,
                }
            }
        }
        Ok(Err(failure))
    }

    fn at(&self, path: &[u8]) -> io::Result<Result<Place, Failure>> {
        Ok(match self.view.walk(path, &self.identity)? {
            Walk::Found(place) if !place.node.is_file() => Err(Failure::Directory(place.path)),
            Walk::Found(place) if !self.identity.may_execute(&place.node) => {
                Err(Failure::NotExecutable(place))
            }
            Walk::Found(place) => Ok(place),
            Walk::Missing(_) | Walk::NotDirectory(_) => Err(Failure::Missing),
            Walk::Denied(path) => Err(Failure::Denied(path)),
            Walk::Loop => Err(Failure::Loop),
        })
    }

    /// What the kernel makes of a file.
    pub(super) fn program(&mut self, place: &Place, depth: usize) -> io::Result<Option<Program>> {
        let start = read_start(&*self.view.open(place)?, START_BYTES)?;
        if start.starts_with(b"#!") {
            if depth >= SCRIPTS_MAX {
                let message = format!("{}: scripts that run scripts, too deep", shown(&place.path));
                self.error("script-too-deep", Subject::File(shown(&place.path)), message)
                    .fix("name the interpreter at the end of the chain itself", "#!/bin/sh");
                return Ok(None);
            }
            return self.script(place, &start, depth);
        }
        if start.starts_with(b"\x7fELF") {
            return self.binary(place).map(Some);
        }
        let path = shown(&place.path);
        let what = match &start[..] {
            [] => "is empty",
            [b'M', b'Z', ..] => "is a program for Windows",
            [0xcf, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => {
                "is a program for macOS (or a Java class)"
            }
            _ => "is neither an ELF file nor begins with #!",
        };
        let finding = self.error(
            "not-a-program",
            Subject::File(path.clone()),
            format!("{path} {what}, so the kernel refuses it: exec format error"),
        );
        if start.is_ascii() && !start.is_empty() && !start.starts_with(b"MZ") {
            finding.fix("if it is a shell script, say so in its first line", "#!/bin/sh");
        } else {
            finding.fix(
                "compile it in a stage of this Dockerfile (replace `build` by its name)",
                format!("COPY --from=build {path} {path}"),
            );
        }
        Ok(None)
    }

    fn not_executable(&mut self, name: &str, place: &Place) -> io::Result<()> {
        let path = shown(&place.path);
        let who = if place.node.mode & 0o111 == 0 {
            "it has no execute permission".to_owned()
        } else {
            format!("user {} has no execute permission", self.identity.uid)
        };
        let message = format!("{name} cannot be executed: {who} (mode {:04o})", place.node.mode);
        let fixes = self.ways_to_permit(&path, Use::Execute)?;
        self.error("command-not-executable", Subject::File(path), message).fixes(fixes);
        Ok(())
    }

    /// Whether argv is what the shell form of an instruction becomes.
    fn is_shell_form(&self, argv: &[String]) -> bool {
        let shell = match &self.image.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        };
        argv.len() > shell.len() && argv.starts_with(&shell)
    }

    fn shell_missing(&mut self, argv: &[String], depth: usize) -> io::Result<Option<Program>> {
        let (shell, text) = (&argv[0], &argv[argv.len().min(3) - 1]);
        let message = format!("shell form in an image without a shell: there is no {shell}");
        let subject = self.subject.clone();
        let is_check = subject == Subject::Healthcheck;
        // A check fails with any exit code, so what is usually written behind it needs no shell.
        let text = text.trim_end().strip_suffix("|| exit 1").filter(|_| is_check).unwrap_or(text);
        let words = words::simple_words(text);
        let keyword = self.keyword();
        let finding = self.error("shell-missing", subject, message);
        match &words {
            Some(words) => {
                finding.fix("use the exec form", format!("{keyword} {}", words::exec_form(words)));
            }
            None => {
                finding.fix(
                    "use the exec form, without a shell",
                    format!("{keyword} [\"/program\", \"argument\"]"),
                );
            }
        }
        if is_check {
            finding.fix("or do without", "HEALTHCHECK NONE");
        }
        match words {
            Some(words) => self.command(&words, depth),
            None => Ok(None),
        }
    }

    fn command_missing(&mut self, argv: &[String], depth: usize) -> io::Result<Option<Program>> {
        let name = &argv[0];
        let message = if name.contains('/') {
            format!("{name} is not in the image")
        } else {
            let path = self.variable("PATH").unwrap_or(super::DEFAULT_PATH);
            format!("{name:?} is not on PATH ({path}); the working directory is not searched")
        };
        let meant = self.meant(name)?;
        let subject = self.subject.clone();
        if name.contains('/') && self.is_in_volume(&self.absolute(name)) {
            let message = format!("{message}, only in a volume, which may have it");
            let fixes = self.ways_to_program(name)?;
            self.warning("command-not-found", subject, message).fixes.extend(fixes);
            return Ok(None);
        }
        let keyword = self.keyword();
        let Some(place) = meant else {
            let fixes = self.ways_to_program(name)?;
            self.error("command-not-found", subject, message).fixes.extend(fixes);
            return Ok(None);
        };
        let finding: &mut Finding = self.error("command-not-found", subject, message);
        let path = shown(&place.path);
        let words = keyword.words(path.clone());
        finding.message.push_str(&format!("; did you mean {path}?"));
        finding.fix("name the file by its path", format!("{keyword} {}", words::exec_form(&words)));
        if !self.identity.may_execute(&place.node) {
            self.not_executable(&path, &place)?;
        }
        self.program(&place, depth)
    }

    /// How a program gets into the image that is nowhere in it.
    pub(super) fn ways_to_program(&self, name: &str) -> io::Result<Vec<Fix>> {
        let file = name.rsplit('/').next().unwrap_or(name);
        let mut fixes: Vec<Fix> = self.package_of_program(file)?.into_iter().collect();
        let absolute = self.absolute(name);
        let place = if name.contains('/') && !self.is_in_volume(&absolute) {
            shown(&words::cleaned(&absolute))
        } else {
            let path = self.search_path();
            let folder = path.iter().find(|folder| **folder == "/usr/local/bin").or(path.last());
            format!("{}/{file}", folder.unwrap_or(&"").trim_end_matches('/'))
        };
        let how = if fixes.is_empty() { "bring it" } else { "or bring it" };
        fixes.push(Fix {
            how: format!("{how} (replace `build` by the stage that has it)"),
            text: format!("COPY --from=build --chmod=755 {place} {place}"),
        });
        if self.subject == Subject::Healthcheck {
            fixes.push(Fix { how: "or do without".to_owned(), text: "HEALTHCHECK NONE".to_owned() });
        }
        Ok(fixes)
    }

    /// The instruction that names the program, and its words.
    fn keyword(&self) -> Keyword {
        let config = self.image.config;
        if self.subject == Subject::Healthcheck {
            let words = config.healthcheck.iter().flat_map(|check| check.test.iter().skip(1));
            return Keyword { name: "HEALTHCHECK CMD", words: words.cloned().collect() };
        }
        match config.entrypoint.as_ref().filter(|words| !words.is_empty()) {
            Some(words) => Keyword { name: "ENTRYPOINT", words: words.clone() },
            None => Keyword { name: "CMD", words: config.cmd.clone().unwrap_or_default() },
        }
    }

    /// A file that somebody may have meant by `name`: of the same name, executable before others, short before long.
    fn meant(&self, name: &str) -> io::Result<Option<Place>> {
        let wanted = name.rsplit('/').next().unwrap_or(name).as_bytes();
        if wanted.is_empty() {
            return Ok(None);
        }
        for path in [[b"/", wanted].concat(), [&self.working_directory, &b"/"[..], wanted].concat()] {
            if let Some(place) = self.view.file(&path)? {
                return Ok(Some(place));
            }
        }
        let mut found: Vec<Place> = Vec::new();
        let mut folders = vec![Vec::new()];
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            let Ok(entries) = self.view.tree().entries(&folder) else { continue };
            for (entry, is_folder) in entries {
                seen += 1;
                let path = crate::tree::join(&folder, &entry);
                if NOT_SEARCHED.contains(&&path[..]) {
                    continue;
                }
                if is_folder {
                    folders.push(path);
                } else if entry == wanted
                    && let Some(node) = self.view.tree().node(&path)?.filter(crate::tree::Node::is_file)
                {
                    found.push(Place { path, node });
                }
            }
            if seen > SEARCHED_ENTRIES_MAX {
                break;
            }
        }
        found.sort_by_key(|place| (place.node.mode & 0o111 == 0, place.path.len(), place.path.clone()));
        Ok(found.into_iter().next())
    }
}

/// An instruction and its words.
struct Keyword {
    name: &'static str,
    words: Vec<String>,
}

impl Keyword {
    /// The words with another program.
    fn words(&self, program: String) -> Vec<String> {
        std::iter::once(program).chain(self.words.iter().skip(1).cloned()).collect()
    }
}

impl std::fmt::Display for Keyword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
