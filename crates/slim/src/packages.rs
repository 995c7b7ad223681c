//! Which package a file belongs to, by the lists of dpkg and apk.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io;

use jettison_inspect::View;
use jettison_inspect::proof::cleaned;

/// Where dpkg keeps its lists.
const DPKG: &[u8] = b"var/lib/dpkg/info";
/// Where apk keeps its database.
const APK: [&[u8]; 2] = [b"lib/apk/db/installed", b"usr/lib/apk/db/installed"];
/// Largest list that is read, bytes.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// Files of packages, read when they are first asked for.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    files: OnceCell<BTreeMap<Vec<u8>, String>>,
}

impl Owners {
    /// The package that has the file at `path`.
    pub(crate) fn of(&self, view: &View<'_>, path: &[u8]) -> io::Result<Option<String>> {
        let path = cleaned(path);
        let files = self.files(view)?;
        Ok(aliases(&path).iter().find_map(|alias| files.get(alias)).cloned())
    }

    /// The files of a package.
    pub(crate) fn files_of(&self, view: &View<'_>, package: &str) -> io::Result<Vec<Vec<u8>>> {
        let files = self.files(view)?.iter().filter(|(_, owner)| *owner == package);
        Ok(files.map(|(path, _)| path.clone()).collect())
    }

    fn files(&self, view: &View<'_>) -> io::Result<&BTreeMap<Vec<u8>, String>> {
        if self.files.get().is_none() {
            let mut files = BTreeMap::new();
            dpkg(view, &mut files)?;
            apk(view, &mut files)?;
            // Nobody else can have set it: a cell is for one thread.
            let _ = self.files.set(files);
        }
        Ok(self.files.get().expect("it was just set"))
    }
}

/// The same file before and after /bin, /lib and the like became links into /usr.
fn aliases(path: &[u8]) -> [Vec<u8>; 2] {
    let other = match path.strip_prefix(b"usr/") {
        Some(rest) => rest.to_vec(),
        None => [b"usr/", path].concat(),
    };
    [path.to_vec(), other]
}

fn dpkg(view: &View<'_>, files: &mut BTreeMap<Vec<u8>, String>) -> io::Result<()> {
    if !view.exists(DPKG)? {
        return Ok(());
    }
    for name in view.tree().names(DPKG)? {
        let Some(package) = name.strip_suffix(b".list") else { continue };
        let package =
            String::from_utf8_lossy(package.split(|b| *b == b':').next().unwrap_or_default()).into_owned();
        let list = view.read(&[DPKG, b"/", &name].concat(), LIST_BYTES_MAX)?.unwrap_or_default();
        for line in list.split(|b| *b == b'\n').filter(|line| line.len() > 1) {
            files.insert(cleaned(line), package.clone());
        }
    }
    Ok(())
}

/// Paragraphs with `P:` (package), `F:` (folder) and `R:` (file in it).
fn apk(view: &View<'_>, files: &mut BTreeMap<Vec<u8>, String>) -> io::Result<()> {
    for database in APK {
        let text = view.read(database, LIST_BYTES_MAX)?.unwrap_or_default();
        let (mut package, mut folder) = (String::new(), Vec::new());
        for line in text.split(|b| *b == b'\n') {
            match line {
                [b'P', b':', name @ ..] => package = String::from_utf8_lossy(name).into_owned(),
                [b'F', b':', path @ ..] => folder = path.to_vec(),
                [b'R', b':', name @ ..] => {
                    files.insert(cleaned(&[&folder[..], b"/", name].concat()), package.clone());
                }
                _ => {}
            }
        }
    }
    Ok(())
}
