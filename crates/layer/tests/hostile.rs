//! Layers and archives that somebody made to do harm: nothing is written outside the root, time and memory stay
//! bounded, and the error names the culprit. Advisories of other tar readers stand at their cases.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use jettison_layer::{ApplyOptions, Error, Limits, apply, unpack_archive};

/// A tar, member by member.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn member(mut self, name: &[u8], kind: u8, link: &[u8], size: u64, body: &[u8]) -> Self {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name);
        let mut field =
            |at: usize, text: String| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        field(100, "0000755\0".to_owned());
        field(108, "0000000\0".to_owned());
        field(116, "0000000\0".to_owned());
        field(124, format!("{size:011o}\0"));
        field(136, "00000000000\0".to_owned());
        field(148, "        ".to_owned());
        field(257, "ustar\x0000".to_owned());
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link);
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
        self.0.extend(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, body: &str) -> Self {
        self.member(name.as_bytes(), b'0', b"", body.len() as u64, body.as_bytes())
    }

    fn directory(self, name: &str) -> Self {
        self.member(name.as_bytes(), b'5', b"", 0, b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.member(name.as_bytes(), b'2', target.as_bytes(), 0, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.member(name.as_bytes(), b'1', target.as_bytes(), 0, b"")
    }

    /// A PAX header for the member that follows.
    fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len() + 1;
            while format!("{length}{rest}").len() != length {
                length = format!("{length}{rest}").len();
            }
            text.extend(format!("{length}{rest}").into_bytes());
        }
        self.member(b"pax", b'x', b"", text.len() as u64, &text)
    }

    /// GNU's long name for the member that follows.
    fn gnu_name(self, name: &str) -> Self {
        let body = [name.as_bytes(), b"\0"].concat();
        self.member(b"././@LongLink", b'L', b"", body.len() as u64, &body)
    }
}

/// The first header with another size, and a sum that fits.
fn resized(mut tar: Tar, size: &[u8]) -> Tar {
    tar.0[124..136].copy_from_slice(size);
    tar.0[148..156].copy_from_slice(b"        ");
    let sum: u32 = tar.0[..512].iter().map(|&byte| u32::from(byte)).sum();
    tar.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar
}

/// A folder with a root to unpack into and a file beside it that must stay as it is.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::write(dir.path().join("canary"), "alive").unwrap();
        Self(dir)
    }

    fn root(&self) -> std::path::PathBuf {
        self.0.path().join("root")
    }

    fn outside(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut names: Vec<_> =
            fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["canary", "root"], "something was written outside the root");
        assert_eq!(fs::read_to_string(self.0.path().join("canary")).unwrap(), "alive");
    }
}

/// Unpacks as a layer and as an archive of ADD; both must behave.
fn both(place: impl Fn() -> Place, make: impl Fn(&Place) -> Tar) -> [(Place, Result<(), Error>); 2] {
    let layer = place();
    let tar = make(&layer).0;
    let result = apply(&mut &tar[..], open(&layer.root()).as_fd(), &ApplyOptions::default()).map(drop);
    let tree = place();
    let tar = make(&tree).0;
    let unpacked = unpack_archive(&mut &tar[..], open(&tree.root()).as_fd(), None, &Limits::default());
    [(layer, result), (tree, unpacked.map(drop))]
}

fn open(path: &Path) -> fs::File {
    fs::File::open(path).unwrap()
}

#[track_caller]
fn refused(make: impl Fn(&Place) -> Tar, culprit: &str) {
    for (_place, result) in both(Place::new, make) {
        let message = result.expect_err("it must be refused").to_string();
        assert!(message.contains(culprit), "{message:?} should name {culprit:?}");
    }
}

#[track_caller]
fn stays_inside(make: impl Fn(&Place) -> Tar) {
    // The guard is the place itself.
    drop(both(Place::new, make));
}

/// CVE-2001-1267 and CVE-2016-6321 (GNU tar), CVE-2007-4559 (Python), CVE-2026-28406 (kaniko: archives of contexts).
#[test]
fn names_that_lead_upwards_are_refused() {
    for name in ["../evil", "a/../../evil", "/../evil", "a/b/../../../evil", ".."] {
        refused(|_| Tar::default().file(name, "x"), "..");
    }
    refused(|_| Tar::default().pax(&[("path", "../evil")]).file("harmless", "x"), "../evil");
    refused(|_| Tar::default().gnu_name("../evil").file("harmless", "x"), "../evil");
    refused(|_| Tar::default().file("a", "x").hard_link("b", "../canary"), "../canary");
}

#[test]
fn absolute_names_lie_below_the_root() {
    for (place, result) in both(Place::new, |p| Tar::default().file(&format!("{}/canary", p.outside()), "x"))
    {
        result.unwrap();
        let inside = place.root().join(format!(".{}/canary", place.outside()));
        assert_eq!(fs::read_to_string(inside).unwrap(), "x");
    }
}

/// CVE-2021-38511 and CVE-2018-20990 (tar of Rust), CVE-2021-32803, CVE-2021-37701, CVE-2021-37712 (tar of Node),
/// CVE-2002-1216 and CVE-2025-45582 (GNU tar), CVE-2014-6407 and CVE-2014-9356 (Docker), CVE-2020-10696 (buildah),
/// CVE-2026-42574 (apko), CVE-2026-23745 (tar of Node: absolute targets of links), CVE-2025-59825 (tar of tokio).
#[test]
fn links_lead_nowhere_outside() {
    let outside = |p: &Place| p.outside().to_owned();
    stays_inside(|p| Tar::default().symlink("l", &outside(p)).file("l/evil", "x"));
    stays_inside(|p| Tar::default().symlink("l", &outside(p)).directory("l/evil"));
    stays_inside(|p| Tar::default().symlink("l", &format!("{}/canary", outside(p))).file("l", "x"));
    stays_inside(|p| {
        Tar::default().symlink("l", "../../../../../../../../..").file(&format!("l{}/evil", outside(p)), "x")
    });
    stays_inside(|p| {
        Tar::default().directory("d").file("d/a", "x").symlink("d", &outside(p)).file("d/evil", "x")
    });
    stays_inside(|p| Tar::default().symlink("a", "b").symlink("b", &outside(p)).file("a/evil", "x"));
    stays_inside(|p| {
        Tar::default().symlink("l", &format!("{}/canary", outside(p))).hard_link("h", "l").file("h", "x")
    });
    stays_inside(|p| Tar::default().hard_link("h", &format!("{}/canary", outside(p))).file("h", "x"));
    stays_inside(|p| Tar::default().symlink("l", &outside(p)).hard_link("h", "l/canary").file("h", "x"));
    stays_inside(|p| {
        Tar::default().symlink("l", &outside(p)).file("l/.wh.canary", "").file("l/.wh..wh..opq", "")
    });
    stays_inside(|_| Tar::default().symlink("l", "l").file("l/x", "x"));
}

/// CVE-2026-24842 and CVE-2026-26960 (tar of Node), CVE-2026-50163 (oras), CVE-2026-42497 (tar of Perl): the target of a hard
/// link was looked at as text only, or looked for where the program stands.
#[test]
fn hard_links_reach_nothing_outside() {
    let write = |tar: Tar| tar.file("h", "overwritten");
    stays_inside(|_| {
        let tar = Tar::default().symlink("a/b/c/up", "../..").symlink("a/b/escape", "c/up/../..");
        write(tar.hard_link("h", "a/b/escape/canary"))
    });
    stays_inside(|_| {
        let tar = Tar::default().symlink("a/b/c/up", "../..").symlink("a/b/escape", "c/up/../../..");
        write(tar.hard_link("h", "a/b/escape/../canary"))
    });
    for target in ["./../canary", "a/../../canary", "../root/../canary"] {
        refused(|_| write(Tar::default().directory("a").hard_link("h", target)), "canary");
    }
    // Tests of a crate start in its folder, which has such a file.
    assert!(Path::new("Cargo.toml").is_file());
    let [(layer, complete), (_tree, unpacked)] =
        both(Place::new, |_| Tar::default().hard_link("h", "Cargo.toml"));
    // A layer may mean a file of one below it.
    complete.unwrap();
    assert!(!layer.root().join("h").exists());
    assert!(unpacked.unwrap_err().to_string().contains("not there"));
}

/// CVE-2025-47290 (containerd): where a folder had been was remembered, so that what came after a link in its place was written
/// to where the link leads.
#[test]
fn a_folder_that_became_a_link_is_no_folder_any_more() {
    let outside = |p: &Place| p.outside().to_owned();
    let before = || Tar::default().directory("a").directory("a/b").directory("a/b/c").file("a/b/c/f", "x");
    let changes: &[fn(Tar, &str) -> Tar] = &[
        |tar, out| tar.symlink("a", out),
        |tar, out| tar.symlink("a/b", out),
        |tar, out| tar.symlink("a/b/c", out),
        |tar, out| tar.file("a/b", "x").symlink("a/b", out),
        |tar, out| tar.file("a/.wh.b", "").symlink("a/b", out),
        |tar, out| tar.file("a/b/.wh..wh..opq", "").symlink("a/b/c", out),
        |tar, out| tar.symlink("l", out).hard_link("a/b", "l"),
    ];
    let afterwards: &[fn(Tar) -> Tar] = &[
        |tar| tar.file("a/b/c/evil", "x").file("a/b/evil", "x").file("a/evil", "x"),
        |tar| tar.directory("a/b/c/d").directory("a/b/d").directory("a/d"),
        |tar| tar.file("a/b/c/.wh.canary", "").file("a/b/.wh.canary", "").file("a/.wh.canary", ""),
        |tar| tar.file("a/b/c/canary", "x").file("a/b/canary", "x").file("a/canary", "x"),
        |tar| tar.hard_link("h", "a/b/c/canary").hard_link("h", "a/b/canary").file("h", "x"),
    ];
    for change in changes {
        for afterwards in afterwards {
            stays_inside(|p| afterwards(change(before(), &outside(p))));
        }
    }
}

/// The same while somebody else puts a link in the folder's place, again and again: between a look and a write, too.
#[test]
fn a_folder_that_becomes_a_link_meanwhile_leads_nowhere_outside() {
    let place = Place::new();
    let mut tar = Tar::default().directory("d");
    for number in 0..30 {
        tar = tar.file(&format!("d/e/f{number}"), "x").directory(&format!("d/g{number}")).symlink("d/l", "x");
        tar = tar.file("d/.wh.canary", "").hard_link(&format!("d/h{number}"), &format!("d/e/f{number}"));
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (folder, aside) = (place.root().join("d"), place.root().join("aside"));
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(&folder, &aside);
                let _ = std::os::unix::fs::symlink(place.outside(), &folder);
                let _ = fs::remove_file(&folder);
                let _ = fs::rename(&aside, &folder);
            }
        });
        for _ in 0..4 {
            let _ = apply(&mut &tar.0[..], open(&place.root()).as_fd(), &ApplyOptions::default());
            let _ = unpack_archive(&mut &tar.0[..], open(&place.root()).as_fd(), None, &Limits::default());
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// CVE-2025-4517, CVE-2025-4330 and CVE-2025-4138 (Python): a path that grows beyond what a path may have when its links are
/// followed was no longer followed, and so found harmless.
#[test]
fn links_whose_paths_grow_too_long_lead_nowhere_outside() {
    let long = "d".repeat(247);
    let steps: Vec<String> = ('a'..='p').map(String::from).collect();
    let escape = |place: &Place, last: &dyn Fn(Tar) -> Tar| {
        let (mut tar, mut at) = (Tar::default(), String::new());
        for step in &steps {
            let here = |name: &str| format!("{at}{name}");
            tar = tar.pax(&[("path", &here(&long))]).directory("d");
            tar = tar.pax(&[("path", &here(step)), ("linkpath", &long)]).symlink("l", "d");
            at = here(&long) + "/";
        }
        let short = steps.join("/") + "/" + &"l".repeat(254);
        let up = "../".repeat(steps.len());
        tar = tar.pax(&[("path", &short), ("linkpath", &up)]).symlink("l", "u");
        let out = format!("{short}/../../../../../../..{}", place.outside());
        last(tar.pax(&[("path", "escape"), ("linkpath", &out)]).symlink("l", "o"))
    };
    stays_inside(|p| escape(p, &|tar| tar.file("escape/evil", "x")));
    stays_inside(|p| escape(p, &|tar| tar.hard_link("h", "escape/canary").file("h", "x")));
    stays_inside(|p| escape(p, &|tar| tar.file("escape/.wh.canary", "")));
}

/// CVE-2026-33056 (tar of Rust), CVE-2021-32760 (containerd): a folder where a link was changed the mode of what the link led to.
#[test]
fn modes_and_times_are_set_inside_only() {
    use std::os::unix::fs::PermissionsExt;
    let made: &[fn(Tar) -> Tar] = &[
        |tar| tar.directory("l"),
        |tar| tar.directory("l/"),
        |tar| tar.directory("l/."),
        |tar| tar.file("l", "x"),
        |tar| tar.hard_link("h", "l").directory("h"),
    ];
    for make in made {
        let sealed = || {
            let place = Place::new();
            fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o701)).unwrap();
            place
        };
        for (place, _) in both(sealed, |p| make(Tar::default().symlink("l", p.outside()))) {
            assert_eq!(fs::metadata(place.0.path()).unwrap().permissions().mode() & 0o7777, 0o701);
        }
    }
}

/// CVE-2025-62518 (tar of tokio), CVE-2026-33055 (tar of Rust): the size of a PAX header counts, not the one beside it; else the content of a file
/// is read as further members.
#[test]
fn the_content_of_a_file_is_no_member() {
    let inner = Tar::default().file("smuggled", "x").0;
    for (place, result) in both(Place::new, |_| {
        let size = inner.len().to_string();
        Tar::default().pax(&[("size", &size)]).member(b"outer", b'0', b"", 0, &inner).file("after", "y")
    }) {
        result.unwrap();
        assert!(!place.root().join("smuggled").exists());
        assert_eq!(fs::metadata(place.root().join("outer")).unwrap().len(), inner.len() as u64);
        assert_eq!(fs::read_to_string(place.root().join("after")).unwrap(), "y");
    }
}

/// GHSA-3pv8-6f4r-ffg2 (tar of Rust), GHSA-fp55-jw48-c537 and GHSA-3cv2-h65g-fgmm (tar of tokio): what a PAX header says is
/// said of the next file, whatever other headers stand between; of none of those.
#[test]
fn headers_between_a_pax_header_and_its_file_are_not_meant() {
    let inner = Tar::default().file("smuggled", "x").0;
    let size = inner.len().to_string();
    let between: &[fn(Tar) -> Tar] = &[
        |tar| tar.gnu_name("outer"),
        |tar| tar.member(b"././@LongLink", b'K', b"", 7, b"nobody\0"),
        |tar| tar.pax(&[("comment", "another")]),
        |tar| tar.member(b"global", b'g', b"", 13, b"13 comment=x\n"),
        |tar| tar.gnu_name("outer").member(b"././@LongLink", b'K', b"", 7, b"nobody\0"),
    ];
    for between in between {
        for (place, result) in both(Place::new, |_| {
            let tar = between(Tar::default().pax(&[("size", &size)]));
            tar.member(b"outer", b'0', b"", 0, &inner).file("after", "y")
        }) {
            // To refuse it is right as well; to believe the wrong header is not.
            assert!(!place.root().join("smuggled").exists());
            if result.is_ok() {
                assert_eq!(fs::metadata(place.root().join("outer")).unwrap().len(), inner.len() as u64);
                assert_eq!(fs::read_to_string(place.root().join("after")).unwrap(), "y");
            }
        }
    }
}

/// CVE-2026-32766 (tar of tokio): a PAX header that is none was passed over, so that its file had the name that others do
/// not see.
#[test]
fn pax_headers_that_are_none_are_refused() {
    for text in [
        "9 path=a",
        "99 path=a\n",
        "x path=a\n",
        "0 path=a\n",
        "4 \n",
        "8 path a\n",
        "-9 path=a\n",
        " 9 path=a\n",
    ] {
        refused(
            |_| Tar::default().member(b"pax", b'x', b"", text.len() as u64, text.as_bytes()).file("f", "x"),
            "",
        );
    }
}

#[test]
fn whiteouts_hide_a_name_and_nothing_else() {
    for name in [".wh.", ".wh..", ".wh...", "d/.wh.."] {
        let place = Place::new();
        let tar = Tar::default().directory("d").file(name, "").0;
        let message = apply(&mut &tar[..], open(&place.root()).as_fd(), &ApplyOptions::default())
            .unwrap_err()
            .to_string();
        assert!(message.contains(".wh."), "{message}");
    }
}

#[test]
fn names_that_no_kernel_takes_are_refused() {
    let long = "n".repeat(64 << 10);
    refused(|_| Tar::default().pax(&[("path", &long)]).file("short", "x"), "path");
    refused(|_| Tar::default().gnu_name(&long).file("short", "x"), "path");
    let component = "c".repeat(300);
    refused(|_| Tar::default().pax(&[("path", &component)]).file("short", "x"), &component[..40]);
}

/// Among them CVE-2025-8194 (Python): a size below zero led back to what had been read, for ever.
#[test]
fn sizes_that_lie_are_refused() {
    for size in [
        &[0xff; 12][..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\0",
        b"-0000000512\0",
        b"0x000000200\0",
    ] {
        refused(|_| resized(Tar::default().file("below", "x"), size), "");
    }
    refused(|_| Tar::default().member(b"short", b'0', b"", 1 << 30, b"few"), "");
    refused(|_| Tar::default().pax(&[("size", "18446744073709551615")]).file("huge", "x"), "");
    refused(|_| Tar::default().pax(&[("size", "9223372036854775807")]).file("huge", "x"), "");
}

/// tar-core asks for more of a map than there is, and again when it got it: whoever gave it what it had went round for ever.
/// CVE-2018-20482 (GNU tar) went round for ever, too; CVE-2025-58183 (tar of Go) took all memory for a map without end.
#[test]
fn the_map_of_a_sparse_file_may_have_no_end() {
    let sparse = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "s"),
        ("GNU.sparse.realsize", "9"),
    ];
    let map = |text: &str| {
        let body = text.as_bytes();
        Tar::default().pax(&sparse).member(b"s", b'0', b"", body.len() as u64, body)
    };
    for text in ["1\n0\n", "", "1", "9999\n0\n0\n"] {
        refused(|_| map(text), "ends in the middle of a header");
    }
    // Beyond the file, over each other, more than there is; the file has nine bytes, of which two blocks are stored.
    for text in ["1\n5\n5\n", "2\n0\n4\n3\n1\n", "2\n4\n1\n0\n1\n", "1\n18446744073709551615\n9\n"] {
        let body = |text: &str| format!("{text:\0<512}{:\0<1024}", "data");
        refused(|_| map(&body(text)), "map lies");
    }
    refused(|_| map(&format!("{:\0<512}da", "1\n0\n3\n")), "map lies");
    let zeros = "0".repeat(9 << 20);
    refused(|_| map(&zeros), "a header that does not end");
}

/// CVE-2026-32288 (tar of Go): the older form of such a map goes on from block to block, without end.
#[test]
fn the_older_map_of_a_sparse_file_may_have_no_end() {
    let mut first = Tar::default().member(b"s", b'S', b"", 512, b"").0;
    first[257..265].copy_from_slice(b"ustar  \0");
    first[482] = 1;
    first[483..495].copy_from_slice(b"77777777777\0");
    let first = resized(Tar(first), b"00000001000\0").0;
    for entry in [&[0_u8; 24][..], b"00000000000\x0000000000000\0", b"77777777777\x0000000000000\0"] {
        let mut block = entry.repeat(21);
        block.resize(512, 0);
        block[504] = 1;
        let place = Place::new();
        let mut endless = first.chain(Endless { block, at: 0 });
        let root = open(&place.root());
        let unpacked = unpack_archive(&mut endless, root.as_fd(), None, &Limits::default());
        let message = unpacked.unwrap_err().to_string();
        assert!(message.contains("sparse entries") || message.contains("does not end"), "{message}");
    }
}

#[test]
fn content_that_nobody_reads_has_to_be_there_all_the_same() {
    let tar = Tar::default().file("a", &"x".repeat(700));
    let read = |end: usize| {
        let limits = Limits::default();
        jettison_layer::for_each_member(&mut &tar.0[..end], &limits, &mut |_, _| Ok(()))
    };
    read(tar.0.len()).unwrap();
    read(512 + 700).unwrap();
    assert!(matches!(read(512 + 699), Err(Error::Damaged(_))));
}

#[test]
fn duplicates_leave_the_last_one() {
    for (place, result) in both(Place::new, |_| {
        let tar = Tar::default().file("a", "first").directory("a").file("a/b", "x").file("a", "last");
        tar.file("b", "1").hard_link("c", "b").file("b", "2")
    }) {
        result.unwrap();
        let read = |name: &str| fs::read_to_string(place.root().join(name)).unwrap();
        assert_eq!((read("a"), read("b"), read("c")), ("last".to_owned(), "2".to_owned(), "1".to_owned()));
    }
}

/// Endless members, made as they are read.
struct Endless {
    block: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = out.len().min(self.block.len() - self.at);
        out[..n].copy_from_slice(&self.block[self.at..self.at + n]);
        self.at = (self.at + n) % self.block.len();
        Ok(n)
    }
}

#[test]
fn entries_and_bytes_without_end_stop_at_the_limit() {
    let limits = Limits { entries_max: 20_000, bytes_max: 1 << 20 };
    let place = Place::new();
    let options = ApplyOptions { limits };
    let mut entries = Endless { block: Tar::default().directory("d").0, at: 0 };
    let message = apply(&mut entries, open(&place.root()).as_fd(), &options).unwrap_err().to_string();
    assert!(message.contains("20000") || message.contains("entries"), "{message}");
    let body = "0".repeat(4096);
    let mut bytes = Endless { block: Tar::default().file("f", &body).0, at: 0 };
    let message = apply(&mut bytes, open(&place.root()).as_fd(), &options).unwrap_err().to_string();
    assert!(message.contains("bytes"), "{message}");
}

/// Directories that paths need and that are listed afterwards were searched for one by one.
#[test]
fn many_directories_that_are_listed_late_take_no_time() {
    let place = Place::new();
    let mut tar = Tar::default();
    for number in 0..4_000 {
        tar = tar.file(&format!("d{number}/f"), "");
    }
    for number in 0..4_000 {
        tar = tar.directory(&format!("d{number}"));
    }
    let applied = apply(&mut &tar.0[..], open(&place.root()).as_fd(), &ApplyOptions::default()).unwrap();
    assert_eq!(applied.implied_dirs.len(), 0);
}
