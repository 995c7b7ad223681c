//! `certs.d`: extra roots and client certificates for single hosts.
//!
//! Source: containers-certs.d(5). The first directory that has a folder named exactly `host:port` (or `host`) wins;
//! in it `*.crt` are roots, and `X.cert` with `X.key` is a client certificate.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{Error, Result};

/// What the user trusts and shows to one host, beyond the system's roots.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// Extra roots.
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// Chain and key to show to the host.
    pub(crate) client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// The directories to look into.
pub(crate) fn default_dirs(home: Option<&Path>) -> Vec<PathBuf> {
    let user = home.map(|home| home.join(".config/containers/certs.d"));
    user.into_iter()
        .chain([PathBuf::from("/etc/containers/certs.d"), PathBuf::from("/etc/docker/certs.d")])
        .collect()
}

/// Reads what there is for `place` (`host` or `host:port`).
pub(crate) fn load(dirs: &[PathBuf], place: &str) -> Result<Trust> {
    for dir in dirs {
        let dir = dir.join(place);
        match fs::read_dir(&dir) {
            Ok(entries) => {
                let mut paths: Vec<_> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
                paths.sort();
                return read(&paths);
            }
            // Unreadable ones are skipped, as containers/image does.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory
                ) => {}
            Err(e) => return Err(Error::File { path: dir, reason: e.to_string() }),
        }
    }
    Ok(Trust::default())
}

fn read(paths: &[PathBuf]) -> Result<Trust> {
    let mut trust = Trust::default();
    for path in paths {
        match path.extension().and_then(|e| e.to_str()) {
            Some("crt") => trust.roots.extend(read_certificates(path)?),
            Some("cert") => {
                let key_path = path.with_extension("key");
                let key = PrivateKeyDer::from_pem_slice(&read_file(&key_path)?).map_err(|e| Error::File {
                    path: key_path,
                    reason: format!("not a private key in PEM: {e}"),
                })?;
                trust.client = Some((read_certificates(path)?, key));
            }
            _ => {}
        }
    }
    Ok(trust)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::File { path: path.to_owned(), reason: e.to_string() })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read_file(path)?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|e| Error::File {
            path: path.to_owned(),
            reason: format!("not a certificate in PEM: {e}"),
        })?;
    if certificates.is_empty() {
        return Err(Error::File { path: path.to_owned(), reason: "no certificate in it".to_owned() });
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_wins_and_errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("a"), dir.path().join("b")];
        assert!(load(&dirs, "r.example:5000").unwrap().roots.is_empty());
        fs::create_dir_all(dirs[1].join("r.example:5000")).unwrap();
        fs::write(dirs[1].join("r.example:5000/ca.crt"), "rubbish").unwrap();
        let error = load(&dirs, "r.example:5000").unwrap_err().to_string();
        assert!(error.contains("ca.crt") && error.contains("no certificate"), "{error}");
        fs::create_dir_all(dirs[0].join("r.example:5000")).unwrap();
        assert!(load(&dirs, "r.example:5000").unwrap().roots.is_empty());
        assert!(load(&dirs, "r.example").unwrap().roots.is_empty());
    }
}
