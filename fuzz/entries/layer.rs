//! What must hold for any bytes given to a reader of `jettison-layer`. Used by the fuzz targets, and by the test that
//! replays the corpus on the stable compiler.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use jettison_layer::{ApplyOptions, Limits, apply, decompress, for_each_member, unpack_archive};
use jettison_oci::Compression;

/// Small enough for thousands of inputs in a second.
const LIMITS: Limits = Limits { entries_max: 1000, bytes_max: 1 << 20 };

/// A tar: all three readers end, and nothing appears beside the root.
pub(crate) fn tar(bytes: &[u8]) {
    let mut count = 0;
    let counted = for_each_member(&mut &bytes[..], &LIMITS, &mut |_, _| {
        count += 1;
        Ok(())
    });
    assert!(count <= LIMITS.entries_max);
    let dir = tempfile::tempdir().expect("a folder can be made");
    for name in ["layer", "archive"] {
        let root = dir.path().join(name);
        std::fs::create_dir(&root).expect("a folder can be made");
        let root = File::open(&root).expect("it was just made");
        if name == "layer" {
            let applied = apply(&mut &bytes[..], root.as_fd(), &ApplyOptions { limits: LIMITS });
            if let (Ok(applied), Ok(())) = (&applied, &counted) {
                assert!(applied.entries >= count);
            }
        } else {
            let _ = unpack_archive(&mut &bytes[..], root.as_fd(), None, &LIMITS);
        }
    }
    let beside = std::fs::read_dir(dir.path()).expect("it is there").count();
    assert_eq!(beside, 2, "something was written outside the root");
}

/// gzip members.
pub(crate) fn gzip(bytes: &[u8]) {
    framing(Compression::Gzip, bytes);
}

/// zstd frames.
pub(crate) fn zstd(bytes: &[u8]) {
    framing(Compression::Zstd, bytes);
}

/// However the bytes arrive, the same comes out.
fn framing(compression: Compression, bytes: &[u8]) {
    let plain = |reader: Box<dyn Read + Send>| -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        decompress(compression, reader)?.take(LIMITS.bytes_max).read_to_end(&mut plain)?;
        Ok(plain)
    };
    let whole = plain(Box::new(io::Cursor::new(bytes.to_vec())));
    let pieces = plain(Box::new(OneByOne(io::Cursor::new(bytes.to_vec()))));
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => assert!(whole == pieces, "{} and {} bytes", whole.len(), pieces.len()),
        (Err(_), Err(_)) => {}
        (whole, pieces) => panic!("at once {:?}, byte by byte {:?}", whole.is_ok(), pieces.is_ok()),
    }
}

struct OneByOne(io::Cursor<Vec<u8>>);

impl Read for OneByOne {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let end = out.len().min(1);
        self.0.read(&mut out[..end])
    }
}
