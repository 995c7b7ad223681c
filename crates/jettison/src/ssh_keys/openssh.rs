//! Private keys as OpenSSH writes them (`BEGIN OPENSSH PRIVATE KEY`), without a passphrase. Source: OpenSSH `PROTOCOL.key`.

use super::key::{Invalid, Secret};
use super::wire::{take_string, take_u32, without_zeros};

/// What the file begins with.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The key and its comment.
pub(super) fn read(bytes: &[u8]) -> Result<(Secret, String), Invalid> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(Invalid::Damaged)?;
    let cipher = take_string(&mut rest).ok_or(Invalid::Damaged)?;
    if cipher != b"none" {
        return Err(Invalid::Passphrase);
    }
    // The function that makes a cipher's key, its options; the number of keys, which is one; the public key.
    let body = (|| {
        let (_, _) = (take_string(&mut rest)?, take_string(&mut rest)?);
        (take_u32(&mut rest)? == 1).then_some(())?;
        take_string(&mut rest)?;
        take_string(&mut rest)
    })();
    let mut rest = body.ok_or(Invalid::Damaged)?;
    let (first, second) = (take_u32(&mut rest), take_u32(&mut rest));
    if first.is_none() || first != second {
        return Err(Invalid::Damaged);
    }
    let kind = take_string(&mut rest).ok_or(Invalid::Damaged)?;
    let secret = match kind {
        b"ssh-ed25519" => ed25519(&mut rest),
        b"ssh-rsa" => rsa(&mut rest),
        b"ecdsa-sha2-nistp256" => ecdsa(&mut rest, 32),
        b"ecdsa-sha2-nistp384" => ecdsa(&mut rest, 48),
        other => return Err(Invalid::Kind(String::from_utf8_lossy(other).into_owned())),
    };
    let secret = secret.ok_or(Invalid::Damaged)?;
    let comment = take_string(&mut rest).ok_or(Invalid::Damaged)?;
    Ok((secret, String::from_utf8_lossy(comment).into_owned()))
}

fn ed25519(rest: &mut &[u8]) -> Option<Secret> {
    let (public, both) = (take_string(rest)?, take_string(rest)?);
    let seed = both.strip_suffix(public).filter(|seed| seed.len() == 32)?;
    Some(Secret::Ed25519 { seed: seed.to_vec(), public: public.to_vec() })
}

fn rsa(rest: &mut &[u8]) -> Option<Secret> {
    let mut number = || take_string(rest).map(|bytes| without_zeros(bytes).to_vec());
    // Evaluated in the order of the file.
    Some(Secret::Rsa {
        n: number()?,
        e: number()?,
        d: number()?,
        q_inverse: number()?,
        p: number()?,
        q: number()?,
    })
}

fn ecdsa(rest: &mut &[u8], scalar_bytes: usize) -> Option<Secret> {
    let (_curve, public) = (take_string(rest)?, take_string(rest)?);
    let scalar = without_zeros(take_string(rest)?);
    let zeros = scalar_bytes.checked_sub(scalar.len())?;
    let scalar = [&vec![0; zeros][..], scalar].concat();
    Some(Secret::Ecdsa { scalar, public: public.to_vec() })
}
