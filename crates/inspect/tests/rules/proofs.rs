//! One case per rule and severity.

use jettison_inspect::{Image, MemoryTree, Provenance, Report, Source, prove};
use jettison_oci::{ContainerConfig, Healthcheck, Platform};

use crate::elf_file::ElfFile;

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn config(entrypoint: &[&str], cmd: &[&str]) -> ContainerConfig {
    let own = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    ContainerConfig {
        entrypoint: (!entrypoint.is_empty()).then(|| own(entrypoint)),
        cmd: (!cmd.is_empty()).then(|| own(cmd)),
        env: vec!["PATH=/usr/bin:/bin".into()],
        working_dir: "/".into(),
        ..ContainerConfig::default()
    }
}

fn cmd(words: &[&str]) -> ContainerConfig {
    config(&[], words)
}

fn report(tree: &MemoryTree, config: &ContainerConfig) -> Report {
    let platform = Platform::new("linux", "amd64", None);
    prove(&Image { tree, config, platform: &platform, provenance: None }).unwrap()
}

/// Everything that people would be told.
fn said(tree: &MemoryTree, config: &ContainerConfig) -> String {
    text(&report(tree, config))
}

fn text(report: &Report) -> String {
    let mut out = format!("{:?}", report.verdict);
    if let (Some(program), Some(kind)) = (&report.program, &report.kind) {
        out.push_str(&format!(": {program} ({kind})"));
    }
    for finding in &report.findings {
        assert!(!finding.fixes.is_empty(), "no way out of {}: {}", finding.rule, finding.message);
        out.push_str(&format!("\n{:?} {}: {}", finding.severity, finding.rule, finding.message));
        for fix in &finding.fixes {
            out.push_str(&format!("\n  {}:\n    {}", fix.how, fix.text.replace('\n', "\n    ")));
        }
    }
    out
}

fn program() -> Vec<u8> {
    ElfFile::program().bytes()
}

fn glibc() -> MemoryTree {
    MemoryTree::new().file(LOADER, 0o755, ElfFile::library("ld-linux-x86-64.so.2").bytes()).file(
        "/lib64/libc.so.6",
        0o755,
        ElfFile::library("libc.so.6").defines(&["GLIBC_2.2.5", "GLIBC_2.31", "GLIBC_2.34"]).bytes(),
    )
}

#[test]
fn a_static_program_starts() {
    let tree = MemoryTree::new().file("/myserver", 0o755, program());
    insta::assert_snapshot!(said(&tree, &cmd(&["/myserver"])), @"Starts: /myserver (static)");
    let in_path = MemoryTree::new().file("/usr/bin/myserver", 0o755, program());
    insta::assert_snapshot!(said(&in_path, &cmd(&["myserver", "-v"])), @"Starts: /usr/bin/myserver (static)");
}

#[test]
fn a_dynamic_program_with_its_libraries_starts() {
    let file = ElfFile::program()
        .interpreter(LOADER)
        .needed("libc.so.6")
        .needs_versions("libc.so.6", &["GLIBC_2.34"]);
    let tree = glibc().file("/app", 0o755, file.bytes());
    insta::assert_snapshot!(said(&tree, &cmd(&["/app"])), @"Starts: /app (dynamic, glibc, 1 library)");
}

#[test]
fn no_command_at_all() {
    insta::assert_snapshot!(said(&MemoryTree::new(), &cmd(&[])));
}

/// The command is not on PATH, and the program has no loader: both are said at once, with all ways out.
#[test]
fn the_founding_example_taken_literally() {
    let mut build_info = b"\xff Go buildinf:\x08\x02".to_vec();
    build_info.resize(32, 0);
    let modules = format!("0123456789abcdefpath\tx\nbuild\tCGO_ENABLED=1\n{}", "fedcba9876543210");
    for text in ["go1.19.8", &modules] {
        build_info.push(text.len() as u8);
        build_info.extend_from_slice(text.as_bytes());
    }
    let file = ElfFile::program()
        .interpreter(LOADER)
        .needed("libc.so.6")
        .needs_versions("libc.so.6", &["GLIBC_2.34"])
        .tail(&build_info)
        .bytes();
    let tree = MemoryTree::new().file("/myserver", 0o755, file);
    let stage = Stage(glibc());
    let platform = Platform::new("linux", "amd64", None);
    let config = cmd(&["myserver"]);
    let report =
        prove(&Image { tree: &tree, config: &config, platform: &platform, provenance: Some(&stage) });
    insta::assert_snapshot!(text(&report.unwrap()));
}

#[derive(Debug)]
struct Stage(MemoryTree);

impl Provenance for Stage {
    fn source(&self, path: &[u8]) -> Option<Source> {
        (path == b"myserver").then(|| Source {
            name: "build".to_owned(),
            tree: Box::new(self.0.clone()),
            runs: vec!["RUN apt-get update".to_owned(), "RUN go build -o /myserver .".to_owned()],
        })
    }
}

#[test]
fn what_only_the_cache_of_a_stage_knew_goes_where_the_loader_looks_anyway() {
    let file = ElfFile::program().interpreter(LOADER).needed("libx.so.1");
    let mut cache = b"glibc-ld.so.cache1.1".to_vec();
    cache.extend(1_u32.to_le_bytes());
    cache.resize(48, 0);
    for number in [0x0303, 72, 72 + 10, 0, 0, 0_u32] {
        cache.extend(number.to_le_bytes());
    }
    cache.extend(b"libx.so.1\0/opt/x/libx.so.1\0");
    let stage = Stage(glibc().file("/opt/x/libx.so.1", 0o644, ElfFile::library("libx.so.1").bytes()).file(
        "/etc/ld.so.cache",
        0o644,
        cache,
    ));
    let tree = MemoryTree::new().file("/myserver", 0o755, file.bytes());
    let platform = Platform::new("linux", "amd64", None);
    let config = cmd(&["/myserver"]);
    let image = Image { tree: &tree, config: &config, platform: &platform, provenance: Some(&stage) };
    insta::assert_snapshot!(text(&prove(&image).unwrap()));
}

#[test]
fn shell_form_without_a_shell() {
    let tree = MemoryTree::new().file("/myserver", 0o755, program());
    insta::assert_snapshot!(
        "shell_form_simple",
        said(&tree, &cmd(&["/bin/sh", "-c", "exec /myserver --port=80"]))
    );
    insta::assert_snapshot!(
        "shell_form_needs_a_shell",
        said(&tree, &cmd(&["/bin/sh", "-c", "/myserver && true"]))
    );
}

#[test]
fn a_missing_program() {
    insta::assert_snapshot!("program_nowhere", said(&MemoryTree::new(), &cmd(&["/app"])));
    let mut config = cmd(&["/data/app"]);
    config.volumes.insert("/data".into(), jettison_oci::Empty {});
    insta::assert_snapshot!("program_in_a_volume", said(&MemoryTree::new(), &config));
    let tree = MemoryTree::new().file("/opt/tool/bin/tool", 0o755, program());
    insta::assert_snapshot!("program_elsewhere", said(&tree, &config_of_entrypoint()));
}

fn config_of_entrypoint() -> ContainerConfig {
    config(&["tool", "--serve"], &["extra"])
}

#[test]
fn permissions() {
    let tree = MemoryTree::new().file("/app", 0o644, program());
    insta::assert_snapshot!("permission_no_execute_bit", said(&tree, &cmd(&["/app"])));
    let mut user = cmd(&["/app"]);
    user.user = "1000:1000".into();
    let tree = MemoryTree::new().file("/app", 0o744, program());
    insta::assert_snapshot!("permission_not_for_the_user", said(&tree, &user));
    user.cmd = Some(vec!["/srv/app".into()]);
    let tree = MemoryTree::new().directory("/srv", 0o700).file("/srv/app", 0o755, program());
    insta::assert_snapshot!("permission_parent_not_searchable", said(&tree, &user));
    let tree = MemoryTree::new().directory("/app", 0o755);
    insta::assert_snapshot!("permission_directory", said(&tree, &cmd(&["/app"])));
}

#[test]
fn unknown_user_and_group() {
    let tree = MemoryTree::new().file("/app", 0o755, program());
    let mut config = cmd(&["/app"]);
    config.user = "app".into();
    insta::assert_snapshot!("unknown_user", said(&tree, &config));
    config.user = "0:app".into();
    insta::assert_snapshot!("unknown_group", said(&tree, &config));
}

#[test]
fn scripts() {
    let shell = || MemoryTree::new().file("/bin/sh", 0o755, program()).file("/usr/bin/env", 0o755, program());
    let say = |first: &str| {
        let tree = shell().file("/start", 0o755, format!("{first}\necho hello\n"));
        said(&tree, &cmd(&["/start"]))
    };
    insta::assert_snapshot!(say("#!/bin/sh -e"), @"Starts: /start (script for /bin/sh, static)");
    insta::assert_snapshot!(say("#!/usr/bin/env sh"), @"Starts: /start (script for sh, static)");
    insta::assert_snapshot!("script_carriage_return", say("#!/bin/sh\r"));
    insta::assert_snapshot!("script_missing_interpreter", say("#!/bin/bash"));
    insta::assert_snapshot!("script_env_missing", say("#!/usr/bin/env python3"));
    insta::assert_snapshot!("script_env_without_split", say("#!/usr/bin/env python3 -u"));
    insta::assert_snapshot!("script_names_nothing", say("#!"));
    insta::assert_snapshot!("script_no_line", say("echo"));
    let circle = MemoryTree::new().file("/a", 0o755, "#!/b\n").file("/b", 0o755, "#!/a\n");
    insta::assert_snapshot!("script_circle", said(&circle, &cmd(&["/a"])));
    let mut user = cmd(&["/start"]);
    user.user = "5".into();
    let unreadable = shell().file("/start", 0o711, "#!/bin/sh\n");
    insta::assert_snapshot!("script_not_readable", said(&unreadable, &user));
}

#[test]
fn wrong_machines() {
    let say = |file: ElfFile| said(&MemoryTree::new().file("/app", 0o755, file.bytes()), &cmd(&["/app"]));
    insta::assert_snapshot!("machine_arm64", say(ElfFile::program().machine(183)));
    insta::assert_snapshot!("machine_big_endian", say(ElfFile::program().machine(22).big_endian()));
    insta::assert_snapshot!("machine_386", say(ElfFile::program().machine(3).class_32()));
    insta::assert_snapshot!("machine_object_file", say(ElfFile::program().object_file()));
}

#[test]
fn loaders() {
    let file = ElfFile::program().interpreter(LOADER).needed("libc.so.6");
    let tree = MemoryTree::new().file("/app", 0o755, file.bytes());
    insta::assert_snapshot!("loader_missing", said(&tree, &cmd(&["/app"])));
    let musl = ElfFile::program().interpreter("/lib/ld-musl-x86_64.so.1");
    let tree = glibc().file("/app", 0o755, musl.bytes());
    insta::assert_snapshot!("loader_musl_on_glibc", said(&tree, &cmd(&["/app"])));
    let wrong = ElfFile::library("ld").machine(183);
    let tree = MemoryTree::new().file("/app", 0o755, file.bytes()).file(LOADER, 0o755, wrong.bytes());
    insta::assert_snapshot!("loader_of_another_machine", said(&tree, &cmd(&["/app"])));
    let odd = ElfFile::program().interpreter("/lib/ld-uClibc.so.0");
    let tree = MemoryTree::new().file("/app", 0o755, odd.bytes()).file(
        "/lib/ld-uClibc.so.0",
        0o755,
        ElfFile::library("ld").bytes(),
    );
    insta::assert_snapshot!("loader_of_an_unknown_kind", said(&tree, &cmd(&["/app"])));
    let tree = MemoryTree::new().file("/app", 0o755, file.bytes()).file(
        LOADER,
        0o644,
        ElfFile::library("ld-linux-x86-64.so.2").bytes(),
    );
    insta::assert_snapshot!("loader_not_executable", said(&tree, &cmd(&["/app"])));
}

#[test]
fn files_that_the_kernel_refuses() {
    let say = |bytes: &[u8]| said(&MemoryTree::new().file("/app", 0o755, bytes), &cmd(&["/app"]));
    insta::assert_snapshot!("elf_damaged", say(&program()[..40]));
    insta::assert_snapshot!("program_for_windows", say(b"MZ\x90\0"));
    insta::assert_snapshot!("program_for_macos", say(b"\xcf\xfa\xed\xfe\x07\0"));
    insta::assert_snapshot!("program_empty", say(b""));
}

#[test]
fn libraries() {
    let file = ElfFile::program().interpreter(LOADER).needed("libssl.so.3").needed("libc.so.6");
    let tree = glibc().file("/app", 0o755, file.bytes());
    insta::assert_snapshot!("library_missing", said(&tree, &cmd(&["/app"])));
    for (distribution, words) in [
        ("debian", "apt-get install -y --no-install-recommends libssl3 "),
        ("alpine", "apk add --no-cache so:libssl.so.3"),
        ("fedora", "dnf install -y 'libssl.so.3()(64bit)'"),
    ] {
        let known = tree.clone().file("/etc/os-release", 0o644, format!("NAME=x\nID={distribution}\n"));
        let text = said(&known, &cmd(&["/app"]));
        assert!(text.contains(words), "{text}");
    }
    let ssl = ElfFile::library("libssl.so.3").needed("libcrypto.so.3");
    let tree = tree.file("/lib64/libssl.so.3", 0o644, ssl.bytes());
    insta::assert_snapshot!("library_missing_for_a_library", said(&tree, &cmd(&["/app"])));
    let tree = tree.file("/lib64/libcrypto.so.3", 0o644, ElfFile::library("x").machine(183).bytes());
    insta::assert_snapshot!("library_of_another_machine", said(&tree, &cmd(&["/app"])));
    let tree = tree.file("/lib64/libcrypto.so.3", 0o644, "INPUT(libcrypto.so.1)");
    insta::assert_snapshot!("library_no_library", said(&tree, &cmd(&["/app"])));
}

#[test]
fn versions_that_are_too_new() {
    let file = ElfFile::program()
        .interpreter(LOADER)
        .needed("libc.so.6")
        .needs_versions("libc.so.6", &["GLIBC_2.38", "GLIBC_2.34", "GLIBC_2.36"]);
    let tree = glibc().file("/app", 0o755, file.bytes());
    insta::assert_snapshot!(said(&tree, &cmd(&["/app"])));
}

#[test]
fn health_checks_are_warnings() {
    let tree = MemoryTree::new().file("/app", 0o755, program());
    let mut config = cmd(&["/app"]);
    let mut check = |test: &[&str]| {
        let test = test.iter().map(ToString::to_string).collect();
        config.healthcheck = Some(Healthcheck { test, ..Healthcheck::default() });
        said(&tree, &config)
    };
    insta::assert_snapshot!("health_check_curl", check(&["CMD", "curl", "-f", "http://localhost/"]));
    insta::assert_snapshot!(
        "health_check_shell",
        check(&["CMD-SHELL", "curl -f http://localhost/ || exit 1"])
    );
    insta::assert_snapshot!(check(&["NONE"]), @"Starts: /app (static)");
    insta::assert_snapshot!(check(&["CMD", "/app", "health"]), @"Starts: /app (static)");
}

#[test]
fn arguments_of_interpreters() {
    let tree = MemoryTree::new()
        .file("/usr/bin/python3", 0o755, program())
        .file("/usr/bin/npm", 0o755, program())
        .file("/bin/sh", 0o755, program())
        .file("/app/main.py", 0o644, "");
    let say = |words: &[&str]| {
        let mut config = cmd(words);
        config.working_dir = "/app".into();
        said(&tree, &config)
    };
    insta::assert_snapshot!(say(&["python3", "-u", "main.py"]), @"Starts: /usr/bin/python3 (static)");
    insta::assert_snapshot!("argument_python", say(&["python3", "app.py"]));
    insta::assert_snapshot!("argument_shell", say(&["/bin/sh", "-c", "serve --port=80"]));
    insta::assert_snapshot!("argument_npm", say(&["npm", "start"]));
}

#[test]
fn doubts() {
    let file = ElfFile::program()
        .interpreter(LOADER)
        .needed("libc.so.6")
        .symbol("dlopen")
        .symbol("setlocale")
        .symbol("pthread_cancel")
        .symbol("iconv_open")
        .symbol("getaddrinfo")
        .tail(b"/etc/ssl/certs/ca-certificates.crt\0/usr/share/zoneinfo/\0\xff Go buildinf:\0time.LoadLocation\0");
    let old = ElfFile::library("libc.so.6").defines(&["GLIBC_2.2.5", "GLIBC_2.31"]);
    let tree = glibc().file("/lib64/libc.so.6", 0o755, old.bytes()).file("/app", 0o755, file.bytes());
    let mut config = cmd(&["/app"]);
    config.env.push("LANG=de_DE.UTF-8".into());
    config.env.push("LD_PRELOAD=libjemalloc.so.2".into());
    insta::assert_snapshot!("doubt_all", said(&tree, &config));
    let c = ElfFile::program().tail(b"/usr/share/zoneinfo").bytes();
    let tree = MemoryTree::new().file("/app", 0o755, c);
    let mut config = cmd(&["/app"]);
    insta::assert_snapshot!(said(&tree, &config), @"Starts: /app (static)");
    config.env.push("TZ=Europe/Berlin".into());
    insta::assert_snapshot!("doubt_zone_of_tz", said(&tree, &config));
    let tree = MemoryTree::new()
        .file("/app", 0o755, ElfFile::program().tail(b"/etc/ssl/cert.pem /usr/share/zoneinfo").bytes())
        .file("/etc/pki/tls/certs/ca-bundle.crt", 0o644, "x")
        .directory("/usr/share/zoneinfo", 0o755);
    insta::assert_snapshot!(said(&tree, &cmd(&["/app"])), @"Starts: /app (static)");
}

#[test]
fn a_working_directory_that_is_not_there_is_only_noted() {
    let mut config = cmd(&["/app"]);
    config.working_dir = "/srv".into();
    let tree = MemoryTree::new().file("/app", 0o755, program());
    insta::assert_snapshot!(said(&tree, &config));
}

#[test]
fn libraries_that_notes_and_texts_name() {
    let app = |text: &[u8]| {
        let file = ElfFile::program().interpreter(LOADER).needed("libc.so.6").symbol("dlopen");
        let libz = ElfFile::library("libz.so.1").bytes();
        glibc().file("/lib64/libz.so.1", 0o644, libz).file("/app", 0o755, file.tail(text).bytes())
    };
    let names = b"libc.so.6\0libz.so.1\0libabsent.so.3\0";
    insta::assert_snapshot!("dlopen_texts", said(&app(names), &cmd(&["/app"])));
    let below = ElfFile::library("libabsent.so.3").bytes();
    let tree = app(names).file("/server/libabsent.so.3", 0o644, below);
    insta::assert_snapshot!("dlopen_texts_with_one_below", said(&tree, &cmd(&["/app"])));
    let noted = |note: &str| {
        let file = ElfFile::program().interpreter(LOADER).needed("libc.so.6").symbol("dlopen");
        let libz = ElfFile::library("libz.so.1").bytes();
        let file = file.tail(names).section(".note.dlopen", &dlopen_note(note));
        let os = "ID=debian\n";
        let needy = ElfFile::library("libneedy.so.2").needed("libz.so.1").needed("libpng16.so.16").bytes();
        let tree = glibc().file("/lib64/libz.so.1", 0o644, libz).file("/etc/os-release", 0o644, os);
        let tree = tree.file("/lib64/libneedy.so.2", 0o644, needy);
        said(&tree.file("/app", 0o755, file.bytes()), &cmd(&["/app"]))
    };
    let there =
        r#"[{"feature":"compression","soname":["libabsent.so.3","libz.so.1"],"priority":"required"}]"#;
    insta::assert_snapshot!(noted(there), @"Starts: /app (dynamic, glibc, 1 library)");
    let needy = r#"[{"feature":"pictures","soname":["libneedy.so.2"],"priority":"recommended"}]"#;
    insta::assert_snapshot!("dlopen_noted_with_its_own_needs", noted(needy));
    let absent = r#"[{"feature":"bpf","soname":["libbpf.so.1","libbpf.so.0"],"priority":"recommended"},{"soname":["libx.so"]}]"#;
    insta::assert_snapshot!("dlopen_noted", noted(absent));
}

/// A note as systemd's macros write it.
fn dlopen_note(text: &str) -> Vec<u8> {
    let mut note = [4_u32, text.len() as u32 + 1, 0x407c_0c0a].map(u32::to_le_bytes).concat();
    note.extend_from_slice(b"FDO\0");
    note.extend_from_slice(text.as_bytes());
    note.resize((note.len() + 1).next_multiple_of(4), 0);
    note
}
