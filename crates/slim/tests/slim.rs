//! Dockerfiles and what slim makes of them, whole: the text that people would commit, or the reason why there is none.
//!
//! Images are made here, of ELF files of a few hundred bytes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../../inspect/tests/rules/elf_file.rs"]
#[allow(dead_code, reason = "the tests of `inspect` use all of it")]
mod elf_file;

use std::collections::BTreeMap;

use elf_file::ElfFile;
use jettison_inspect::MemoryTree;
use jettison_oci::{ContainerConfig, Empty, Platform};
use jettison_slim::{Error, Subject, propose};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const FOUNDING: &str = "\
# The founding example.
FROM golang:1.11
ADD . /app
WORKDIR /app
RUN go build -o /myserver .
# Where it answers.
EXPOSE 8080
CMD [\"/myserver\"]
";

/// An image: its files, those of them that instructions brought, and its config.
struct Case {
    source: String,
    tree: MemoryTree,
    brought: Vec<(&'static str, &'static str)>,
    config: ContainerConfig,
    keep: Vec<String>,
}

impl Case {
    /// A static program at /myserver, made by `RUN go build`.
    fn new(source: &str) -> Self {
        let own = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        Self {
            source: source.to_owned(),
            tree: MemoryTree::new(),
            brought: Vec::new(),
            config: ContainerConfig {
                cmd: Some(own(&["/myserver"])),
                env: own(&["PATH=/usr/local/go/bin:/usr/bin:/bin", "GOPATH=/go"]),
                working_dir: "/app".into(),
                exposed_ports: [("8080/tcp".to_owned(), Empty {})].into(),
                ..ContainerConfig::default()
            },
            keep: Vec::new(),
        }
        .brought("app/main.go", "ADD", b"package main")
        .brought("myserver", "RUN", &ElfFile::program().bytes())
    }

    /// A file that an instruction brought.
    fn brought(mut self, path: &'static str, instruction: &'static str, content: &[u8]) -> Self {
        self.tree = self.tree.file(path, 0o755, content.to_vec());
        for (at, _) in path.match_indices('/') {
            self.brought.push((&path[..at], instruction));
        }
        self.brought.push((path, instruction));
        self
    }

    /// A file of the base image.
    fn base(mut self, path: &str, content: &[u8]) -> Self {
        self.tree = self.tree.file(path, 0o755, content.to_vec());
        self
    }

    fn glibc(self) -> Self {
        let libc = ElfFile::library("libc.so.6").symbol("dlopen").bytes();
        self.base(LOADER, &ElfFile::library("ld-linux-x86-64.so.2").bytes()).base("/lib64/libc.so.6", &libc)
    }

    fn config(mut self, set: impl FnOnce(&mut ContainerConfig)) -> Self {
        set(&mut self.config);
        self
    }

    fn program(self, elf: ElfFile) -> Self {
        self.brought("myserver", "RUN", &elf.bytes())
    }

    /// What people would see.
    fn said(&self) -> String {
        let parsed = jettison_dockerfile::parse(self.source.as_bytes());
        let stage = parsed.dockerfile.stages.last().unwrap();
        let span_of = |keyword: &str| {
            let is = |i: &&jettison_dockerfile::Instruction| i.kind.keyword() == keyword;
            stage.instructions.iter().find(is).map_or_else(Default::default, |i| i.span)
        };
        let brought: BTreeMap<Vec<u8>, _> =
            self.brought.iter().map(|(path, by)| (path.as_bytes().to_vec(), span_of(by))).collect();
        let answer = propose(&Subject {
            source: &self.source,
            dockerfile: &parsed.dockerfile,
            tree: &self.tree,
            config: &self.config,
            platform: &Platform::new("linux", "amd64", None),
            brought: &brought,
            keep: &self.keep,
        });
        match answer {
            Ok(proposal) => {
                let reparsed = jettison_dockerfile::parse(proposal.dockerfile.as_bytes());
                assert!(!reparsed.has_errors(), "{:?}\n{}", reparsed.diagnostics, proposal.dockerfile);
                let mut text = format!("{}\n---\n{}\n", proposal.dockerfile, proposal.program);
                if !proposal.left_behind.is_empty() {
                    text.push_str(&format!("left behind: {}\n", proposal.left_behind.join(" ")));
                }
                if proposal.can_do_without_cgo {
                    text.push_str("it can do without cgo\n");
                }
                text
            }
            Err(Error::Refused(refusal)) => {
                format!("refused: {}\nhint: {}\n", refusal.reason, refusal.hint.unwrap_or_default())
            }
            Err(Error::Read(error)) => panic!("{error}"),
        }
    }
}

fn dynamic() -> ElfFile {
    ElfFile::program().interpreter(LOADER).needed("libc.so.6")
}

#[test]
fn a_static_program() {
    insta::assert_snapshot!(Case::new(FOUNDING).said());
}

#[test]
fn a_program_linked_to_the_c_library() {
    insta::assert_snapshot!(Case::new(FOUNDING).glibc().program(dynamic()).said());
}

#[test]
fn a_go_program_that_uses_c_for_the_standard_librarys_sake_only() {
    let go = |names: &str| dynamic().tail(format!("\0Go buildinf:\0{names}\0").as_bytes());
    let said = |names: &str| Case::new(FOUNDING).glibc().program(go(names)).said();
    assert!(said("net._C2func_getaddrinfo").contains("it can do without cgo"));
    assert!(
        !said("net._C2func_getaddrinfo\0example.com/sqlite._Cfunc_open").contains("it can do without cgo")
    );
}

#[test]
fn a_command_that_is_not_on_path_is_named_by_its_path() {
    let source = FOUNDING.replace("[\"/myserver\"]", "[\"myserver\"]");
    insta::assert_snapshot!(Case::new(&source).config(|c| c.cmd = Some(vec!["myserver".into()])).said());
}

#[test]
fn a_shell_form_that_needs_no_shell() {
    let source = FOUNDING.replace("[\"/myserver\"]", "/myserver --port 80");
    let words = ["/bin/sh", "-c", "/myserver --port 80"].map(str::to_owned).to_vec();
    insta::assert_snapshot!(Case::new(&source).config(|c| c.cmd = Some(words)).said());
}

#[test]
fn what_the_program_refers_to_comes_along() {
    let source = "\
ARG VERSION=1
FROM golang:1.11
ARG VERSION
ENV CGO_ENABLED=0 GREETING=\"hello you\" \\
    CONFIG=/etc/myserver.yml
COPY . /app
WORKDIR /app
RUN go build -o /myserver .
USER app
LABEL version=$VERSION
VOLUME /data
ENTRYPOINT [\"/myserver\", \"--theme=themes/dark.css\"]
CMD [\"serve\"]
";
    let texts = "/etc/ssl/certs/ca-certificates.crt Go buildinf: /usr/share/zoneinfo time.LoadLocation\0\
                 static index.tmpl os.CreateTemp\0";
    let case = Case::new(source)
        .program(ElfFile::program().tail(texts.as_bytes()))
        .base("/etc/ssl/certs/ca-certificates.crt", b"CA")
        .base("/usr/share/zoneinfo/UTC", b"TZif")
        .base("/etc/passwd", b"root:x:0:0::/:\napp:x:10:10::/:\n")
        .base("/etc/group", b"root:x:0:\napp:x:10:\n")
        .brought("etc/myserver.yml", "RUN", b"a: b")
        .brought("app/static/logo.svg", "COPY", b"<svg/>")
        .brought("app/themes/dark.css", "COPY", b"a {}")
        .brought("app/templates/index.tmpl", "COPY", b"hi")
        .brought("app/notes.txt", "COPY", b"hi")
        .brought("app/README.md", "COPY", b"hi")
        .config(|c| {
            c.user = "app".into();
            c.entrypoint = Some(vec!["/myserver".into(), "--theme=themes/dark.css".into()]);
            c.cmd = Some(vec!["serve".into()]);
            c.exposed_ports.clear();
            c.volumes.insert("/data".into(), Empty {});
            c.labels.insert("version".into(), "1".into());
            c.env.extend(
                ["CGO_ENABLED=0", "GREETING=hello you", "CONFIG=/etc/myserver.yml"].map(str::to_owned),
            );
        });
    let mut case = case.brought("data/seed.db", "RUN", b"x");
    case.tree = case.tree.owned("data", 10, 10);
    insta::assert_snapshot!(case.said());
}

#[test]
fn libraries_that_load_others_by_name_are_kept_by_package() {
    let case = Case::new(FOUNDING)
        .glibc()
        .program(dynamic().needed("libssl.so.3"))
        .base("/usr/lib64/libssl.so.3", &ElfFile::library("libssl.so.3").symbol("dlopen").bytes())
        .base("/usr/lib64/ossl-modules/legacy.so", &ElfFile::library("legacy.so").needed("libz.so.1").bytes())
        .base("/usr/lib64/libz.so.1", &ElfFile::library("libz.so.1").bytes())
        .base("/etc/ssl/certs/ca-certificates.crt", b"CA")
        .base(
            "/var/lib/dpkg/info/libssl3:amd64.list",
            b"/.\n/usr/lib64/libssl.so.3\n/usr/lib64/ossl-modules/legacy.so\n",
        );
    insta::assert_snapshot!(case.said());
}

#[test]
fn what_only_the_toolchain_is_told_about_stays_behind() {
    let case = Case::new(FOUNDING).brought("go/pkg/mod/x/data.json", "RUN", b"{}");
    assert!(!case.said().contains(" /go"), "{}", case.said());
}

#[test]
fn what_is_refused() {
    let mut said = String::new();
    let mut add = |name: &str, case: Case| said.push_str(&format!("{name}\n{}\n", case.said()));
    let command = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Case::new(FOUNDING).config(|c| c.cmd = Some(words))
    };
    add("python", command(&["python3", "app.py"]));
    add("node", command(&["/usr/local/bin/node", "server.js"]));
    add("java", command(&["java", "-jar", "app.jar"]));
    add("a shell's work", command(&["/bin/sh", "-c", "/myserver --port $PORT"]));
    add(
        "a script",
        command(&["/start"])
            .brought("start", "ADD", b"#!/bin/sh\nexec /myserver\n")
            .base("/bin/sh", &ElfFile::program().bytes()),
    );
    add("nothing to start", Case::new(FOUNDING).config(|c| c.cmd = None));
    add("not there", command(&["/elsewhere"]));
    add("a program of the base", {
        command(&["/usr/sbin/nginx"]).base("/usr/sbin/nginx", &ElfFile::program().bytes())
    });
    add("a program of a package", {
        let case =
            command(&["/usr/sbin/nginx"]).brought("usr/sbin/nginx", "RUN", &ElfFile::program().bytes());
        case.base("/var/lib/dpkg/info/nginx.list", b"/usr/sbin/nginx\n")
    });
    add("dlopen", Case::new(FOUNDING).glibc().program(dynamic().symbol("dlopen")));
    add("a library is missing", Case::new(FOUNDING).glibc().program(dynamic().needed("libgone.so")));
    add("on scratch", Case::new("FROM scratch\nADD x /\nRUN y\nCMD [\"/myserver\"]\n"));
    add("a base for others", Case::new(&format!("{FOUNDING}ONBUILD RUN x\n")));
    add("a health check", {
        let source = format!("{FOUNDING}HEALTHCHECK CMD curl localhost | grep ok\n");
        Case::new(&source).config(|c| {
            c.healthcheck = Some(jettison_oci::Healthcheck {
                test: vec!["CMD-SHELL".into(), "curl localhost | grep ok".into()],
                ..Default::default()
            });
        })
    });
    let mut keep = Case::new(FOUNDING);
    keep.keep = vec!["/gone".into()];
    add("nothing to keep", keep);
    let mentions = ElfFile::program().tail(b"/usr/local/bin/tool");
    add(
        "another program",
        Case::new(FOUNDING).program(mentions).brought(
            "usr/local/bin/tool",
            "ADD",
            &ElfFile::program().bytes(),
        ),
    );
    insta::assert_snapshot!(said);
}

#[test]
fn a_health_check_that_asks_the_program_itself_comes_along() {
    let with = |line: &str, test: &[&str]| {
        let test: Vec<String> = test.iter().map(ToString::to_string).collect();
        let case = Case::new(&format!("{FOUNDING}{line}\n")).config(|c| {
            c.healthcheck = Some(jettison_oci::Healthcheck {
                test,
                interval: 5_000_000_000,
                timeout: 1_500_000_000,
                retries: 3,
                ..Default::default()
            });
        });
        let said = case.said();
        let lines = said.lines().filter(|line| line.contains("HEALTHCHECK") || line.contains("In exec form"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let shell = "HEALTHCHECK --interval=5s --timeout=1500ms --retries=3 CMD /myserver health || exit 1";
    insta::assert_snapshot!(with(shell, &["CMD-SHELL", "/myserver health || exit 1"]), @r#"
    # In exec form, by its path: the new image has no shell.
    HEALTHCHECK --interval=5s --timeout=1500000000ns --retries=3 CMD ["/myserver", "health"]
    "#);
    let exec = "HEALTHCHECK --interval=5s CMD [\"/myserver\", \"health\"]";
    insta::assert_snapshot!(with(exec, &["CMD", "/myserver", "health"]), @r#"HEALTHCHECK --interval=5s CMD ["/myserver", "health"]"#);
}

#[test]
fn the_name_of_the_build_stage_is_a_free_one() {
    let first = |source: &str| {
        let said = Case::new(source).said();
        let copy = said.lines().find(|line| line.starts_with("COPY --from")).unwrap().to_owned();
        (
            said.lines()
                .filter(|line| line.to_lowercase().starts_with("from"))
                .nth_back(1)
                .unwrap()
                .to_owned(),
            copy,
        )
    };
    let rest = "ADD . /app\nWORKDIR /app\nRUN make\nCMD [\"/myserver\"]\n";
    let copy = |name: &str| format!("COPY --from={name} /myserver /myserver");
    assert_eq!(
        first(&format!("FROM golang AS Maker\n{rest}")),
        ("FROM golang AS Maker".into(), copy("Maker"))
    );
    assert_eq!(
        first(&format!("FROM x AS build\nFROM golang\n{rest}")),
        ("FROM golang AS build-2".into(), copy("build-2"))
    );
    assert_eq!(first(&format!("from golang\n{rest}")), ("from golang as build".into(), copy("build")));
}
