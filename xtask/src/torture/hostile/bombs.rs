//! Layers and archives that are small until they are unpacked, or that have far too much of something.

use std::io::Write;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::layout::{self, GZIP, Layout, TAR, ZSTD};
use super::tar::{self, Tar};
use super::{Case, Expect, Maker, Place, images};

pub const CASES: &[Maker] = &[
    ("bomb: layer of gzip", |p| {
        let blob = tar::gzip_bomb(&huge_file(), 64 << 20, 32 * p.scale);
        bomb(p, GZIP, &blob, Some("layer"))
    }),
    ("bomb: layer of zstd", |p| {
        let blob = tar::zstd_bomb(&huge_file(), 4 << 20);
        bomb(p, ZSTD, &blob, Some("layer"))
    }),
    ("bomb: window of zstd", |p| bomb(p, ZSTD, &tar::zstd_window(31), Some("layer"))),
    ("bomb: archive of gzip", |p| {
        let archive = tar::gzip_bomb(&huge_file(), 64 << 20, 32 * p.scale);
        add(p, &archive, Some("archive.tar"))
    }),
    ("bomb: archive of zstd", |p| add(p, &tar::zstd_bomb(&huge_file(), 4 << 20), Some("archive.tar"))),
    ("bomb: noise behind the end", |p| {
        let archive = tar::gzip_bomb(&Tar::default().file("f", "x").end(), 64 << 20, 32);
        add(p, &archive, None)
    }),
    ("bomb: loaded archive", loaded),
    ("bomb: sparse file of GNU", |p| add(p, &gnu_sparse(1 << 62), Some("archive.tar"))),
    ("bomb: sparse file in PAX", |p| add(p, &pax_sparse(), None)),
    ("bomb: file of all numbers", |p| {
        add(p, &Tar::default().member(b"f", b'0', b"", u64::MAX, b"x").0, Some("archive.tar"))
    }),
    ("bomb: very many entries in a layer", |p| {
        let layout = Layout::new(&p.folder.join("layout"))?;
        let (blob, diff_id) = entries(very_many(p))?;
        layout.image_with(layout.blob(GZIP, &blob)?, &diff_id, |_| {})?;
        images::based_on(p, &layout, Expect::Works)
    }),
    ("bomb: very many entries in an archive", |p| {
        let (archive, _) = entries(very_many(p))?;
        p.write("context/archive.tar", archive)?;
        Ok(Case::works(p.build("FROM base0\nADD archive.tar /added/\n")?))
    }),
    ("bomb: very many links to one file", links),
    // After these two the disk of a long run has no room for as many again; a short one does without.
    ("bomb: more inodes than there are", |p| {
        if p.scale == 1 {
            return add(p, &tar::gzip(b""), None);
        }
        let layout = Layout::new(&p.folder.join("layout"))?;
        let (blob, diff_id) = entries(very_many(p) + 1)?;
        layout.image_with(layout.blob(GZIP, &blob)?, &diff_id, |_| {})?;
        images::based_on(p, &layout, Expect::Refused("layer".to_owned()))
    }),
    ("bomb: name of 64 KiB in PAX", |p| {
        add(
            p,
            &Tar::default().pax("path", &"n/".repeat(32 << 10)).file("short", "x").end(),
            Some("archive.tar"),
        )
    }),
    ("bomb: name of 64 KiB of GNU", |p| {
        add(
            p,
            &Tar::default().gnu_long(b'L', &"n".repeat(64 << 10)).file("short", "x").end(),
            Some("archive.tar"),
        )
    }),
    ("bomb: link of 64 KiB", |p| {
        let tar = Tar::default().gnu_long(b'K', &"n".repeat(64 << 10)).symlink("short", "x").end();
        add(p, &tar, Some("archive.tar"))
    }),
    ("bomb: PAX header of 64 MiB", |p| {
        add(
            p,
            &Tar::default().pax("comment", &"n".repeat(p.much(64 << 20))).file("short", "x").end(),
            Some("archive.tar"),
        )
    }),
    ("bomb: PAX header of PAX headers", |p| {
        let mut archive = Tar::default();
        for number in 0..p.much(20_000) {
            archive = archive.pax("comment", &number.to_string());
        }
        add(p, &archive.file("f", "x").end(), None)
    }),
    ("bomb: attribute of 1 MiB", |p| {
        let archive = Tar::default().pax("SCHILY.xattr.user.x", &"v".repeat(1 << 20)).file("f", "x").end();
        add(p, &archive, None)
    }),
    ("bomb: thousands of attributes", |p| {
        let mut archive = Tar::default();
        for number in 0..2000 {
            archive = archive.pax(&format!("SCHILY.xattr.user.x{number}"), "value");
        }
        add(p, &archive.file("f", "x").end(), None)
    }),
    ("bomb: folders two thousand deep", |p| {
        let blob = tar::gzip(&Tar::default().pax("path", &"d/".repeat(2000)).directory("short").end());
        bomb(p, GZIP, &blob, None)
    }),
];

/// The header of a file that is larger than any disk.
fn huge_file() -> Vec<u8> {
    tar::header(b"zeros", b'0', b"", 1 << 50).to_vec()
}

fn expected(culprit: Option<&str>) -> Expect {
    culprit.map_or(Expect::Anything, |text| Expect::Refused(text.to_owned()))
}

/// An image with this layer. Its diff id is a lie, as what is in it is never read to its end.
fn bomb(place: &mut Place, media_type: &str, blob: &[u8], culprit: Option<&str>) -> Result<Case> {
    let layout = Layout::new(&place.folder.join("layout"))?;
    layout.image(media_type, blob, b"never", |_| {})?;
    images::given(place, &layout, expected(culprit))
}

/// A build that unpacks this archive.
pub fn add(place: &mut Place, archive: &[u8], culprit: Option<&str>) -> Result<Case> {
    place.write("context/archive.tar", archive)?;
    let arguments = place.build("FROM base0\nADD archive.tar /added/\n")?;
    Ok(Case::new(arguments, expected(culprit)))
}

/// An archive of an image whose one file never ends.
fn loaded(place: &mut Place) -> Result<Case> {
    let path = place.write("loaded.tar", tar::zstd_bomb(&huge_file(), 4 << 20))?;
    Ok(Case::refused(["load", "-q", "-i", &path], "archive"))
}

/// A million in a long run.
fn very_many(place: &Place) -> usize {
    if place.scale == 1 { 30_000 } else { 1_000_000 }
}

/// An archive of so many files, in gzip, and its diff id.
fn entries(count: usize) -> Result<(Vec<u8>, String)> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut plain = Sha256::new();
    let mut put = |bytes: &[u8]| {
        plain.update(bytes);
        encoder.write_all(bytes)
    };
    for number in 0..count {
        let name = format!("d{}/f{number}", number % 997);
        put(&tar::header(name.as_bytes(), b'0', b"", 0))?;
    }
    put(&Tar::default().end())?;
    Ok((encoder.finish()?, layout::digest_of(&plain.finalize())))
}

/// More names than some file systems allow for one file.
fn links(place: &mut Place) -> Result<Case> {
    let mut archive = Tar::default().file("f", "x");
    for number in 0..place.much(70_000) {
        archive = archive.hard_link(&format!("l{number}"), "f");
    }
    bomb(place, TAR, &archive.end(), None)
}

/// GNU's old form: type `S`, the real size beside the map of what is there.
fn gnu_sparse(real_bytes: u64) -> Vec<u8> {
    let mut block = tar::header(b"sparse", b'S', b"", 512);
    block[386..398].copy_from_slice(format!("{:011o}\0", 0).as_bytes());
    block[398..410].copy_from_slice(format!("{:011o}\0", 512).as_bytes());
    block[483] = 0x80;
    block[487..495].copy_from_slice(&real_bytes.to_be_bytes());
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = block.to_vec();
    bytes.resize(4 * 512, 0);
    bytes
}

fn pax_sparse() -> Vec<u8> {
    let size = (1_u64 << 60).to_string();
    let tar = Tar::default()
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.realsize", &size)
        .pax("GNU.sparse.name", "../../../sparse");
    tar.file("sparse", "1\n0\n512\n").end()
}
