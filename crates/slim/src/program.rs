//! What the image starts: one compiled program that this Dockerfile made, or the reason why slim cannot help.

use std::rc::Rc;

use jettison_inspect::elf::Elf;
use jettison_inspect::proof::{DEFAULT_PATH, cleaned, simple_words};
use jettison_inspect::tree::Place;
use jettison_inspect::{Report, Severity, View};

use crate::{Error, Item, Refusal, Subject, packages, shown};

/// Programs that run what is written elsewhere, by the beginning of their names, with the way to smaller images.
const INTERPRETERS: &[(&str, &str)] = &[
    (
        "python",
        "a smaller base with the same interpreter (python:X-slim) and `COPY --from=build` of a whole virtual environment",
    ),
    (
        "node",
        "a smaller base with the same interpreter (node:X-slim) and `npm ci --omit=dev` in a stage of its own",
    ),
    ("java", "a base with a JRE of the same version, and COPY of the jar alone"),
    ("ruby", "a smaller base with the same interpreter (ruby:X-slim) and COPY of the installed gems"),
    ("perl", "a smaller base with the same interpreter (perl:X-slim)"),
    ("php", "a smaller base with the same interpreter (php:X-alpine)"),
    ("dotnet", "the runtime image of the same version, and COPY of what `dotnet publish` made"),
    ("deno", "`deno compile`, which makes one program"),
    ("bun", "`bun build --compile`, which makes one program"),
    ("lua", "a smaller base with the same interpreter"),
    ("Rscript", "a smaller base with the same interpreter"),
    ("sh", "an exec-form command that names the program itself"),
    ("bash", "an exec-form command that names the program itself"),
    ("dash", "an exec-form command that names the program itself"),
    ("busybox", "an exec-form command that names the program itself"),
];

/// A compiled program.
pub(crate) struct Started {
    /// ENTRYPOINT and CMD as they are to be, the program by its path.
    pub(crate) argv: Vec<String>,
    /// The absolute path under which it is started.
    pub(crate) path: Vec<u8>,
    /// Where that leads.
    pub(crate) place: Place,
    pub(crate) elf: Rc<Elf>,
    /// What had to be said otherwise, and why.
    pub(crate) change: Option<String>,
}

impl Started {
    pub(crate) fn item(&self) -> Item {
        let why = match self.elf.interpreter {
            None => "The program. It is static: it needs no libraries.",
            Some(_) => "The program. It is dynamically linked: its loader and its libraries follow.",
        };
        Item::same(&self.path, why)
    }
}

/// Finds the program of an image, of which `report` is the proof.
pub(crate) fn find(subject: &Subject<'_>, view: &View<'_>, report: &Report) -> Result<Started, Error> {
    let config = subject.config;
    let (argv, mut change) = words(subject, report)?;
    let name = argv[0].clone();
    refuse_interpreters(&name)?;
    let wrong = |rule: &str| !matches!(rule, "command-not-found" | "shell-missing" | "healthcheck");
    let error = report.findings.iter().find(|f| f.severity == Severity::Error && wrong(f.rule));
    if let Some(error) = error {
        return Err(Refusal::new(format!("the image cannot start as it is: {}", error.message)).into());
    }
    let path = match looked_up(view, subject, &name)? {
        Some(path) => path,
        None => {
            // The proof knows what was meant by a name that is not on PATH.
            let meant = report.program.as_ref().filter(|_| !name.contains('/'));
            let Some(meant) = meant else {
                return Err(Refusal::new(format!("{name} is not in the image")).into());
            };
            let path = config.env_value("PATH").unwrap_or(DEFAULT_PATH);
            change = Some(format!(
                "The program by its path: {name:?} is not on PATH ({path}), so the image could not start before."
            ));
            meant.clone().into_bytes()
        }
    };
    let place = view.file(&path)?.ok_or_else(|| Refusal::new(format!("{} is not a file", shown(&path))))?;
    refuse_interpreters(&shown(&place.path))?;
    let elf = match view.elf(&place)? {
        Ok(elf) => elf,
        Err(_) => return Err(not_compiled(&path).into()),
    };
    let owner = packages::Owners::default().of(view, &path)?;
    if let Some(package) = owner {
        return Err(not_made_here(&path, &format!("belongs to the package {package}")).into());
    }
    if !subject.brought.contains_key(&place.path) {
        return Err(not_made_here(&path, "comes with the base image").into());
    }
    let text = String::from_utf8(path.clone())
        .map_err(|_| Refusal::new(format!("the path {} is no UTF-8", shown(&path))))?;
    if change.is_none() && text != name {
        change = Some(format!(
            "The program by its path: the new image has the default PATH, and {name} was found in {}.",
            text.rsplit_once('/').map_or("/", |(folder, _)| if folder.is_empty() { "/" } else { folder })
        ));
    }
    let argv = std::iter::once(text).chain(argv.into_iter().skip(1)).collect();
    Ok(Started { argv, path, place, elf, change })
}

/// The words of the command. A shell form is taken apart if it needs no shell.
fn words(subject: &Subject<'_>, report: &Report) -> Result<(Vec<String>, Option<String>), Error> {
    let config = subject.config;
    let shell = match &config.shell {
        Some(shell) if !shell.is_empty() => shell.clone(),
        _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
    };
    let argv = &report.command;
    if argv.is_empty() {
        let refusal = Refusal::new("the image has neither ENTRYPOINT nor CMD: what it needs, nobody can say");
        return Err(refusal.hint("name the program with CMD [\"/path/to/program\"]").into());
    }
    let is_shell_form = argv.len() > shell.len() && argv.starts_with(&shell);
    if !is_shell_form {
        return Ok((argv.clone(), None));
    }
    let text = &argv[shell.len()];
    match simple_words(text) {
        Some(words) => {
            let why = "The exec form: the other one starts a shell, and the new image has none.";
            Ok((words, Some(why.to_owned())))
        }
        None => {
            let reason = format!("the command needs a shell: {text}");
            Err(Refusal::new(reason)
                .hint("name the program in exec form: CMD [\"/program\", \"argument\"]")
                .into())
        }
    }
}

/// The absolute path under which a name is found.
pub(crate) fn looked_up(
    view: &View<'_>,
    subject: &Subject<'_>,
    name: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let config = subject.config;
    let absolute = |path: &str| [b"/", &cleaned(path.as_bytes())[..]].concat();
    if name.contains('/') {
        let path =
            if name.starts_with('/') { name.to_owned() } else { format!("{}/{name}", config.working_dir) };
        return Ok(view.file(path.as_bytes())?.map(|_| absolute(&path)));
    }
    let path = config.env_value("PATH").unwrap_or(DEFAULT_PATH);
    for folder in path.split(':').filter(|folder| folder.starts_with('/')) {
        let path = format!("{folder}/{name}");
        if view.file(path.as_bytes())?.is_some_and(|place| place.node.mode & 0o111 != 0) {
            return Ok(Some(absolute(&path)));
        }
    }
    Ok(None)
}

fn refuse_interpreters(name: &str) -> Result<(), Refusal> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let is = |known: &str| {
        file.strip_prefix(known)
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-'))
    };
    match INTERPRETERS.iter().find(|(known, _)| is(known)) {
        Some((known, way)) => Err(Refusal::new(format!(
            "{file} runs what is written elsewhere: which of its files it reads, nothing in the image says, so none can be left behind"
        ))
        .hint(format!("for {known}, the way to a smaller image is {way}"))),
        None => Ok(()),
    }
}

fn not_compiled(path: &[u8]) -> Refusal {
    Refusal::new(format!(
        "{} is a script, not a compiled program: which files it reads, nothing in the image says, so none can be left behind",
        shown(path)
    ))
    .hint("if it only prepares things and starts a program, name that program as ENTRYPOINT")
}

fn not_made_here(path: &[u8], how: &str) -> Refusal {
    Refusal::new(format!(
        "{} {how}, it is not made by this Dockerfile: there is no build to be separated from it",
        shown(path)
    ))
    .hint("a smaller base image with the same program is the way here")
}
