//! Before a build that begins with nothing: what its reset has deleted must not burden it.
//!
//! ext4 does not give the inode of a deleted file out again for a minute, and for five while the deletion is not on disk.
//! Until then whoever makes a file looks at each of them: a pull of 12,000 files right after a store as large was removed
//! needed up to 18 s of kernel time instead of 2.4. It does not look at those whose block is no longer in memory.
//! Source: Linux, `fs/ext4/ialloc.c`, `recently_deleted`.

use std::path::Path;

use anyhow::{Context, Result};

/// Writes everything to disk, forgets what the disk has in memory, and reads again what builds read: the files below `warm`.
pub(super) fn settle(warm: &[&Path]) -> Result<()> {
    rustix::fs::sync();
    let switch = "/proc/sys/vm/drop_caches";
    if let Err(error) = std::fs::write(switch, "1") {
        println!("{switch}: {error}; what was deleted before may slow what is measured");
        return Ok(());
    }
    warm.iter().try_for_each(|folder| read(folder))
}

fn read(folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read(&entry.path())?;
        } else if kind.is_file() {
            std::io::copy(&mut std::fs::File::open(entry.path())?, &mut std::io::sink())?;
        }
    }
    Ok(())
}
