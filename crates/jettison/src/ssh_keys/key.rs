//! A private key from a file, and what it signs. The arithmetic is ring's, which TLS brings anyway.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};

use super::openssh;
use super::wire::{mpint, string, without_zeros};

/// The flag of a request for an RSA signature with the longer hash.
const RSA_SHA2_512: u32 = 4;

/// A private key.
pub(crate) struct Key {
    /// Its public half, as ssh writes it.
    pub(super) public: Vec<u8>,
    /// What its owner calls it.
    pub(super) comment: String,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(&'static str, EcdsaKeyPair),
}

/// The numbers of a private key.
pub(super) enum Secret {
    Ed25519 { seed: Vec<u8>, public: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8>, d: Vec<u8>, p: Vec<u8>, q: Vec<u8>, q_inverse: Vec<u8> },
    Ecdsa { scalar: Vec<u8>, public: Vec<u8> },
}

/// Why a file is no key that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    /// It is something else.
    #[error("it is no private key")]
    NoKey,
    /// It begins as a key and goes on as something else.
    #[error("the key is damaged")]
    Damaged,
    /// It is encrypted.
    #[error("the key has a passphrase")]
    Passphrase,
    /// An algorithm that we do not have.
    #[error("keys of the kind {0} are not supported")]
    Kind(String),
    /// ring refuses it: too short, too long, inconsistent.
    #[error("the key is not accepted: {0}")]
    Rejected(String),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.comment)
    }
}

impl Key {
    /// Reads the text of a key file: OpenSSH's own form, PKCS#1 or PKCS#8. `name` is the comment of a key without one.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self, Invalid> {
        let (label, body) = pem(text).ok_or(Invalid::NoKey)?;
        if body.contains("ENCRYPTED") || label.starts_with("ENCRYPTED") {
            return Err(Invalid::Passphrase);
        }
        let digits: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = STANDARD.decode(digits).map_err(|_| Invalid::Damaged)?;
        let (pair, comment) = match label {
            "OPENSSH PRIVATE KEY" => {
                let (secret, comment) = openssh::read(&bytes)?;
                (Pair::of(secret)?, comment)
            }
            "RSA PRIVATE KEY" => {
                (Pair::Rsa(Box::new(RsaKeyPair::from_der(&bytes).map_err(rejected)?)), String::new())
            }
            "PRIVATE KEY" => (Pair::of_pkcs8(&bytes)?, String::new()),
            other => return Err(Invalid::Kind(other.trim_end_matches(" PRIVATE KEY").to_owned())),
        };
        let comment = if comment.is_empty() { name.to_owned() } else { comment };
        Ok(Self { public: pair.public(), comment, pair })
    }

    /// The signature of `data` as ssh writes it; `None` if it cannot be made.
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let (algorithm, signature) = match &self.pair {
            Pair::Ed25519(pair) => ("ssh-ed25519", pair.sign(data).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                // Without a flag SHA-1 is meant, which nobody should take any more; a signature says what it is made with.
                let (name, padding) = if flags & RSA_SHA2_512 != 0 {
                    ("rsa-sha2-512", &RSA_PKCS1_SHA512)
                } else {
                    ("rsa-sha2-256", &RSA_PKCS1_SHA256)
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, data, &mut signature).ok()?;
                (name, signature)
            }
            Pair::Ecdsa(curve, pair) => {
                let signature = pair.sign(&random, data).ok()?;
                let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
                (ecdsa_name(curve), [mpint(r), mpint(s)].concat())
            }
        };
        Some([string(algorithm.as_bytes()), string(&signature)].concat())
    }
}

fn ecdsa_name(curve: &str) -> &'static str {
    if curve == "nistp256" { "ecdsa-sha2-nistp256" } else { "ecdsa-sha2-nistp384" }
}

fn rejected(error: ring::error::KeyRejected) -> Invalid {
    Invalid::Rejected(error.to_string())
}

impl Pair {
    fn of(secret: Secret) -> Result<Self, Invalid> {
        match secret {
            Secret::Ed25519 { seed, public } => {
                let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public).map_err(rejected)?;
                Ok(Self::Ed25519(pair))
            }
            Secret::Rsa { n, e, d, p, q, q_inverse } => {
                let components = ring::rsa::KeyPairComponents {
                    public_key: ring::rsa::PublicKeyComponents { n: &n, e: &e },
                    d: &d,
                    dP: &remainder(&d, &minus_one(&p)),
                    dQ: &remainder(&d, &minus_one(&q)),
                    p: &p,
                    q: &q,
                    qInv: &q_inverse,
                };
                RsaKeyPair::from_components(&components)
                    .map(|pair| Self::Rsa(Box::new(pair)))
                    .map_err(rejected)
            }
            Secret::Ecdsa { scalar, public } => {
                let (curve, algorithm) = curve(public.len()).ok_or(Invalid::Damaged)?;
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    algorithm,
                    &scalar,
                    &public,
                    &SystemRandom::new(),
                );
                pair.map(|pair| Self::Ecdsa(curve, pair)).map_err(rejected)
            }
        }
    }

    /// PKCS#8 does not say at a glance what is in it: one after the other is tried.
    fn of_pkcs8(bytes: &[u8]) -> Result<Self, Invalid> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
            return Ok(Self::Ed25519(pair));
        }
        for (curve, algorithm) in CURVES {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, bytes, &SystemRandom::new()) {
                return Ok(Self::Ecdsa(curve, pair));
            }
        }
        RsaKeyPair::from_pkcs8(bytes).map(|pair| Self::Rsa(Box::new(pair))).map_err(rejected)
    }

    fn public(&self) -> Vec<u8> {
        let words = match self {
            Self::Ed25519(pair) => vec![string(b"ssh-ed25519"), string(pair.public_key().as_ref())],
            Self::Rsa(pair) => {
                let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                vec![string(b"ssh-rsa"), mpint(&public.e), mpint(&public.n)]
            }
            Self::Ecdsa(curve, pair) => vec![
                string(ecdsa_name(curve).as_bytes()),
                string(curve.as_bytes()),
                string(pair.public_key().as_ref()),
            ],
        };
        words.concat()
    }
}

const CURVES: [(&str, &EcdsaSigningAlgorithm); 2] =
    [("nistp256", &ECDSA_P256_SHA256_FIXED_SIGNING), ("nistp384", &ECDSA_P384_SHA384_FIXED_SIGNING)];

/// The curve of a point that is written without compression.
fn curve(point_bytes: usize) -> Option<(&'static str, &'static EcdsaSigningAlgorithm)> {
    match point_bytes {
        65 => Some(CURVES[0]),
        97 => Some(CURVES[1]),
        _ => None,
    }
}

/// Label and body of the first block.
fn pem(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    label.ends_with("PRIVATE KEY").then_some((label, body))
}

fn minus_one(number: &[u8]) -> Vec<u8> {
    let mut digits = number.to_vec();
    for digit in digits.iter_mut().rev() {
        let (less, borrow) = digit.overflowing_sub(1);
        *digit = less;
        if !borrow {
            break;
        }
    }
    digits
}

/// `number` modulo `modulus`, both big-endian: OpenSSH's files lack two numbers that ring wants. Bit by bit, which is
/// quick enough for a key.
fn remainder(number: &[u8], modulus: &[u8]) -> Vec<u8> {
    let modulus = without_zeros(modulus);
    let mut rest = vec![0_u8; modulus.len() + 1];
    let modulus = [&[0], modulus].concat();
    for bit in number.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)) {
        let mut carry = bit;
        for digit in rest.iter_mut().rev() {
            let next = *digit >> 7;
            *digit = *digit << 1 | carry;
            carry = next;
        }
        if rest >= modulus {
            let mut borrow = 0_i16;
            for (digit, less) in rest.iter_mut().zip(&modulus).rev() {
                let difference = i16::from(*digit) - i16::from(*less) - borrow;
                borrow = i16::from(difference < 0);
                *digit = difference.rem_euclid(256) as u8;
            }
        }
    }
    without_zeros(&rest).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders() {
        assert_eq!(remainder(&[0x01, 0x00], &[0x07]), [4]);
        assert_eq!(remainder(&[0xff, 0xff, 0xff], &[0x01, 0x00]), [0xff]);
        assert_eq!(remainder(&[5], &[0, 5]), [0_u8; 0]);
        assert_eq!(minus_one(&[1, 0]), [0, 0xff]);
    }

    #[test]
    fn what_is_no_key_is_said() {
        let of = |text: &str| Key::parse(text, "x").unwrap_err();
        assert_eq!(of("hello"), Invalid::NoKey);
        assert_eq!(of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Invalid::NoKey);
        let block =
            |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        assert_eq!(of(&block("OPENSSH PRIVATE KEY", "AAAA")), Invalid::Damaged);
        assert_eq!(of(&block("OPENSSH PRIVATE KEY", "%")), Invalid::Damaged);
        assert_eq!(of(&block("ENCRYPTED PRIVATE KEY", "AAAA")), Invalid::Passphrase);
        assert_eq!(of(&block("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n\nAAAA")), Invalid::Passphrase);
        assert_eq!(of(&block("DSA PRIVATE KEY", "AAAA")), Invalid::Kind("DSA".into()));
        assert!(matches!(of(&block("PRIVATE KEY", "AAAA")), Invalid::Rejected(_)));
    }
}
