//! Images whose documents lie: about size, digest, media type, nesting, and about what they are at all.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};

use super::layout::{self, CONFIG, Documents, GZIP, INDEX, Layout, MANIFEST, TAR, ZSTD};
use super::tar::{Tar, gzip};
use super::{Case, Expect, Maker, Place};

pub const CASES: &[Maker] = &[
    ("image: nothing wrong", |p| lie(p, None, |_| {})),
    ("image: layer smaller than it says", |p| {
        lie(p, Some("its descriptor says"), |d| layer(d)["size"] = json!(1 << 20))
    }),
    ("image: layer larger than it says", |p| {
        lie(p, Some("its descriptor says"), |d| layer(d)["size"] = json!(10))
    }),
    ("image: layer of no size", |p| lie(p, Some(""), |d| layer(d)["size"] = json!(0))),
    ("image: size beyond all numbers", |p| lie(p, Some(""), |d| layer(d)["size"] = json!(u64::MAX))),
    ("image: size below zero", |p| lie(p, Some(""), |d| layer(d)["size"] = json!(-1))),
    ("image: size that is text", |p| lie(p, Some(""), |d| layer(d)["size"] = json!("12"))),
    ("image: manifest larger than it says", |p| lie(p, Some(""), |d| d.entry["size"] = json!(3))),
    ("image: config smaller than it says", |p| {
        lie(p, Some(""), |d| d.manifest["config"] = json!({"size": 1 << 20}))
    }),
    ("image: digest of something else", |p| {
        lie(p, Some(""), |d| layer(d)["digest"] = json!(layout::digest(b"else")))
    }),
    ("image: blob that was changed", changed_blob),
    ("image: wrong diff id", |p| {
        lie(p, Some("its config says"), |d| d.config["rootfs"]["diff_ids"] = json!([layout::digest(b"x")]))
    }),
    ("image: more diff ids than layers", |p| {
        lie(p, Some(""), |d| {
            let id = d.config["rootfs"]["diff_ids"][0].clone();
            d.config["rootfs"]["diff_ids"] = json!([id, id]);
        })
    }),
    ("image: no rootfs", |p| lie(p, Some(""), |d| d.config["rootfs"] = Value::Null)),
    ("image: gzip that calls itself zstd", |p| lie(p, Some(""), |d| layer(d)["mediaType"] = json!(ZSTD))),
    ("image: gzip that calls itself tar", |p| lie(p, None, |d| layer(d)["mediaType"] = json!(TAR))),
    ("image: layer that calls itself config", |p| {
        lie(p, Some(""), |d| layer(d)["mediaType"] = json!(CONFIG))
    }),
    ("image: layer of an unknown type", |p| {
        lie(p, Some("application/x"), |d| layer(d)["mediaType"] = json!("application/x"))
    }),
    // What a document calls itself counts more than what others call it.
    ("image: manifest that is called an index", |p| lie(p, None, |d| d.entry["mediaType"] = json!(INDEX))),
    ("image: manifest and index at once", |p| {
        lie(p, Some("ambiguous"), |d| d.manifest["manifests"] = json!([descriptor_of("x")]))
    }),
    ("image: digest that is a path", |p| {
        lie(p, Some("../"), |d| layer(d)["digest"] = json!("sha256:../../../../etc/passwd"))
    }),
    ("image: digest of an unknown kind", |p| {
        lie(p, Some("md5"), |d| layer(d)["digest"] = json!(format!("md5:{}", "0".repeat(32))))
    }),
    ("image: schema of another time", |p| lie(p, None, |d| d.manifest["schemaVersion"] = json!(1))),
    ("image: config of wrong types", |p| {
        lie(p, None, |d| d.config["config"] = json!({"Env": "A=1", "Cmd": {"a": 1}, "User": 5}))
    }),
    ("image: huge environment", |p| {
        lie(p, None, |d| d.config["config"]["Env"] = json!(vec![format!("A={}", "x".repeat(1000)); 5000]))
    }),
    ("image: the same layer thousands of times", many_layers),
    ("image: index in index in index", nested),
    ("image: index of a hundred thousand entries", wide),
    ("image: document without end", |p| document(p, &"[".repeat(2 << 20))),
    ("image: document that is huge", |p| {
        document(p, &format!(r#"{{"schemaVersion":2,"x":"{}","manifests":[]}}"#, "x".repeat(20 << 20)))
    }),
    ("image: document that is no text", |p| document(p, "\u{feff}\0\0{}")),
    ("image: blob that is a pipe", pipe),
    ("image: blob that is a link to the outside", link),
];

fn descriptor_of(content: &str) -> Value {
    layout::descriptor(MANIFEST, content.as_bytes())
}

fn layer(documents: &mut Documents) -> &mut Value {
    &mut documents.manifest["layers"][0]
}

/// A layer that no store has seen: what is known already is not looked at again.
fn small_layer(place: &mut Place) -> Vec<u8> {
    Tar::default().directory("d").file("d/f", &place.random.next().to_string()).end()
}

/// An image with one small layer that tells a lie; refused with `culprit`, or whatever comes.
fn lie(place: &mut Place, culprit: Option<&str>, lie: impl FnOnce(&mut Documents)) -> Result<Case> {
    let layout = Layout::new(&place.folder.join("layout"))?;
    let plain = small_layer(place);
    layout.image(GZIP, &gzip(&plain), &plain, lie)?;
    let expect = culprit.map_or(Expect::Anything, |text| Expect::Refused(text.to_owned()));
    given(place, &layout, expect)
}

/// The layout as a base, in a folder or in an archive.
pub fn given(place: &mut Place, layout: &Layout, expect: Expect) -> Result<Case> {
    let folder = layout.folder.display().to_string();
    if place.random.once_in(3) {
        let archive = place.folder.join("layout.tar").display().to_string();
        super::program("tar", &["-cf", &archive, "-C", &folder, "."])?;
        // Loading unpacks no layer, so some lies are found later.
        let expect = if matches!(expect, Expect::Works) { expect } else { Expect::Anything };
        return Ok(Case::new(["load", "-q", "-i", &archive], expect));
    }
    based_on(place, layout, expect)
}

/// The layout as a base, in a folder.
pub fn based_on(place: &Place, layout: &Layout, expect: Expect) -> Result<Case> {
    let folder = layout.folder.display();
    let mut arguments =
        place.build("FROM image\nCOPY --from=base0 /bin/busybox /busybox\nRUN [\"/busybox\", \"true\"]\n")?;
    arguments.extend(["--build-context".to_owned(), format!("image=oci-layout://{folder}")]);
    Ok(Case::new(arguments, expect))
}

fn changed_blob(place: &mut Place) -> Result<Case> {
    let layout = Layout::new(&place.folder.join("layout"))?;
    let plain = small_layer(place);
    let blob = gzip(&plain);
    layout.image(GZIP, &blob, &plain, |_| {})?;
    let other = gzip(&small_layer(place));
    fs::write(layout.path(&layout::digest(&blob)), other)?;
    given(place, &layout, Expect::Refused(layout::digest(&blob)[7..19].to_owned()))
}

fn many_layers(place: &mut Place) -> Result<Case> {
    let count = place.much(2000);
    lie(place, None, |d| {
        let (layer, id) = (layer(d).clone(), d.config["rootfs"]["diff_ids"][0].clone());
        d.manifest["layers"] = json!(vec![layer; count]);
        d.config["rootfs"]["diff_ids"] = json!(vec![id; count]);
    })
}

fn nested(place: &mut Place) -> Result<Case> {
    let layout = Layout::new(&place.folder.join("layout"))?;
    let plain = small_layer(place);
    layout.image(GZIP, &gzip(&plain), &plain, |_| {})?;
    let index: Value = serde_json::from_slice(&fs::read(layout.folder.join("index.json"))?)?;
    let mut entry = index["manifests"][0].clone();
    for _ in 0..50 * place.scale {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        entry = layout.blob(INDEX, index.to_string().as_bytes())?;
    }
    layout.index(&json!([entry]))?;
    given(place, &layout, Expect::Refused("nested".to_owned()))
}

fn wide(place: &mut Place) -> Result<Case> {
    let layout = Layout::new(&place.folder.join("layout"))?;
    let mut entry = descriptor_of("missing");
    entry["platform"] = json!({"os": "plan9", "architecture": "sparc"});
    layout.index(&json!(vec![entry; place.much(100_000)]))?;
    given(place, &layout, Expect::Anything)
}

fn document(place: &mut Place, text: &str) -> Result<Case> {
    let layout = Layout::new(&place.folder.join("layout"))?;
    fs::write(layout.folder.join("index.json"), text)?;
    given(place, &layout, Expect::Refused("index.json".to_owned()))
}

fn pipe(place: &mut Place) -> Result<Case> {
    let layout = Layout::new(&place.folder.join("layout"))?;
    let plain = small_layer(place);
    layout.image(GZIP, &gzip(&plain), &plain, |_| {})?;
    let path = layout.path(&layout::digest(&gzip(&plain)));
    fs::remove_file(&path)?;
    super::program("mkfifo", &[&path.display().to_string()])?;
    given(place, &layout, Expect::Refused(String::new()))
}

fn link(place: &mut Place) -> Result<Case> {
    let layout = Layout::new(&place.folder.join("layout"))?;
    let outside = b"alive";
    layout.image_with(layout::descriptor(TAR, outside), &layout::digest(outside), |_| {})?;
    std::os::unix::fs::symlink(place.canary.join("canary"), layout.path(&layout::digest(outside)))?;
    given(place, &layout, Expect::Refused(String::new()))
}
