//! Where the bytes are.

use jettison_inspect::size::{Counter, Usage};

use crate::layers::tar;

fn usage(layers: &[&str]) -> Usage {
    let mut counter = Counter::default();
    for script in layers {
        counter.add(&mut &tar(script)[..], &jettison_layer::Limits::default()).unwrap();
    }
    counter.finish(10)
}

#[test]
fn what_later_layers_hide_and_what_is_there_twice() {
    let usage = usage(&[
        "mkdir -p usr/lib d; head -c 9000 /dev/zero > usr/lib/a; cp usr/lib/a usr/lib/b; head -c 100 /dev/zero > d/old; ln usr/lib/a usr/lib/link",
        "mkdir -p d usr/lib; touch d/.wh.old; head -c 50 /dev/zero > usr/lib/b",
        "mkdir -p d; head -c 9000 /dev/zero > d/again",
    ]);
    let text: Vec<String> = usage
        .layers
        .iter()
        .map(|layer| format!("{} files, {} bytes, {} hidden", layer.files, layer.bytes, layer.hidden_bytes))
        .collect();
    assert_eq!(
        text,
        ["3 files, 18100 bytes, 9100 hidden", "1 files, 50 bytes, 0 hidden", "1 files, 9000 bytes, 0 hidden"]
    );
    assert_eq!(usage.bytes, 18_050);
    let folders: Vec<String> = usage.folders.iter().map(|f| format!("{} {}", f.path, f.bytes)).collect();
    assert_eq!(folders, ["/usr 9050", "/usr/lib 9050", "/d 9000"]);
    assert_eq!(usage.duplicates.len(), 1);
    assert_eq!(usage.duplicates[0].paths, ["/d/again", "/usr/lib/a"]);
    assert_eq!(usage.duplicates[0].wasted_bytes, 9000);
}

#[test]
fn an_opaque_folder_hides_everything_in_it() {
    let usage = usage(&[
        "mkdir d; head -c 7 /dev/zero > d/a",
        "mkdir d; touch d/.wh..wh..opq; head -c 3 /dev/zero > d/b",
    ]);
    assert_eq!((usage.layers[0].hidden_bytes, usage.bytes), (7, 3));
}

#[test]
fn packages_as_the_last_layer_has_them() {
    let status = "mkdir -p var/lib/dpkg lib/apk/db; printf 'Package: libc6\\nStatus: install ok installed\\nVersion: 1\\nInstalled-Size: 10\\n\\nPackage: gone\\nStatus: deinstall ok config-files\\nVersion: 1\\nInstalled-Size: 99\\n' > var/lib/dpkg/status; printf 'P:musl\\nV:1\\nI:700\\n' > lib/apk/db/installed";
    let list = |usage: Usage| -> Vec<String> {
        usage.packages.iter().map(|package| format!("{} {}", package.path, package.bytes)).collect()
    };
    assert_eq!(list(usage(&[status])), ["libc6 10240", "musl 700"]);
    assert_eq!(
        list(usage(&[status, "mkdir -p lib/apk/db; touch lib/apk/db/.wh.installed"])),
        ["libc6 10240"]
    );
    let damaged = usage(&["mkdir -p var/lib/rpm; echo no > var/lib/rpm/rpmdb.sqlite"]);
    assert_eq!(damaged.gaps, ["/var/lib/rpm/rpmdb.sqlite: not a database of rpm (SQLite)"]);
}
