//! DNS messages: one question out, addresses in. Pure.
//!
//! Source: RFC 1035 section 4 (format, compression), RFC 3596 (AAAA). Only what a stub resolver needs: the recursive
//! server has already followed every alias and sends the whole chain. Where to read next: `mod.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name on the wire, bytes (RFC 1035 section 2.3.4).
const NAME_LEN_MAX: usize = 255;
/// Most compression pointers followed in one name; a legitimate one needs few, a hostile one loops.
const POINTERS_MAX: usize = 32;
const HEADER_LEN: usize = 12;
const CLASS_IN: u16 = 1;
const TYPE_CNAME: u16 = 5;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl RecordType {
    fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The addresses; none means that the name exists without such records.
    Addresses(Vec<IpAddr>),
    /// No such name.
    NoSuchName,
    /// The answer did not fit into a datagram: ask again over TCP.
    Truncated,
    /// The server could not or would not answer; another one may.
    Failed,
}

/// The question as bytes; `None` if `name` cannot be a host name.
pub(super) fn encode_query(id: u16, name: &str, record: RecordType) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(HEADER_LEN + name.len() + 6);
    out.extend_from_slice(&id.to_be_bytes());
    // Flags: recursion desired. Counts: one question.
    out.extend_from_slice(&[0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        if label.is_empty() || label.len() > 63 || !label.is_ascii() {
            return None;
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    if out.len() - HEADER_LEN > NAME_LEN_MAX {
        return None;
    }
    out.extend_from_slice(&record.code().to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    Some(out)
}

/// Reads a server's message; `None` if it is not the answer to this question (a forgery, or garbage).
pub(super) fn decode_answer(bytes: &[u8], id: u16, name: &str, record: RecordType) -> Option<Answer> {
    let header = bytes.get(..HEADER_LEN)?;
    let is_response = header[2] & 0x80 != 0;
    let counts = |i: usize| u16::from_be_bytes([header[i], header[i + 1]]);
    if u16::from_be_bytes([header[0], header[1]]) != id || !is_response || counts(4) != 1 {
        return None;
    }
    let (question, mut at) = read_name(bytes, HEADER_LEN)?;
    let wanted = name.trim_end_matches('.').to_ascii_lowercase();
    if question != wanted || read_u16(bytes, at)? != record.code() {
        return None;
    }
    at += 4;
    if header[2] & 0x02 != 0 {
        return Some(Answer::Truncated);
    }
    match header[3] & 0x0f {
        0 => {}
        3 => return Some(Answer::NoSuchName),
        _ => return Some(Answer::Failed),
    }
    // Aliases come in front of what they point to, so one pass with a moving owner is enough.
    let mut owner = wanted;
    let mut addresses = Vec::new();
    for _ in 0..counts(6) {
        let (name, after) = read_name(bytes, at)?;
        let kind = read_u16(bytes, after)?;
        let class = read_u16(bytes, after + 2)?;
        let len = usize::from(read_u16(bytes, after + 8)?);
        let data_at = after + 10;
        let data = bytes.get(data_at..data_at + len)?;
        at = data_at + len;
        if class != CLASS_IN || name != owner {
            continue;
        }
        if kind == TYPE_CNAME {
            owner = read_name(bytes, data_at)?.0;
        } else if kind == record.code() {
            addresses.extend(read_address(data));
        }
    }
    Some(Answer::Addresses(addresses))
}

fn read_address(data: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(data) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into())
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// The name at `start`, lower case without a final dot, and where it ends.
fn read_name(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = start;
    let mut end = None;
    let mut pointers = 0;
    loop {
        let len = *bytes.get(at)?;
        match len {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(len))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
                if name.len() > NAME_LEN_MAX {
                    return None;
                }
                at += 1 + usize::from(len);
            }
            0xc0..=0xff => {
                pointers += 1;
                if pointers > POINTERS_MAX {
                    return None;
                }
                end.get_or_insert(at + 2);
                at = usize::from(read_u16(bytes, at)? & 0x3fff);
            }
            _ => return None,
        }
    }
}

/// A message that answers `query` with `records` (owner, address or alias), for tests and the fake server.
#[cfg(test)]
pub(super) fn encode_answer(
    query: &[u8],
    rcode: u8,
    truncated: bool,
    records: &[(&str, Record<'_>)],
) -> Vec<u8> {
    let mut out = query.to_vec();
    out[2] = 0x81 | if truncated { 0x02 } else { 0 };
    out[3] = 0x80 | rcode;
    out[7] = records.len() as u8;
    for (owner, record) in records {
        let encode = |name: &str| encode_query(0, name, RecordType::A).unwrap()[HEADER_LEN..].to_vec();
        let name = encode(owner);
        out.extend_from_slice(&name[..name.len() - 4]);
        let (kind, data) = match record {
            Record::Address(IpAddr::V4(a)) => (1_u16, a.octets().to_vec()),
            Record::Address(IpAddr::V6(a)) => (28, a.octets().to_vec()),
            Record::Alias(target) => {
                let name = encode(target);
                (TYPE_CNAME, name[..name.len() - 4].to_vec())
            }
        };
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&data);
    }
    out
}

/// One record of [`encode_answer`].
#[cfg(test)]
#[derive(Clone, Copy)]
pub(super) enum Record<'a> {
    Address(IpAddr),
    Alias(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn follows_aliases_and_ignores_strangers() {
        let query = encode_query(7, "Registry.Example.", RecordType::A).unwrap();
        let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
        let answer = encode_answer(
            &query,
            0,
            false,
            &[
                ("registry.example", Record::Alias("cdn.example")),
                ("evil.example", Record::Address(IpAddr::V4(Ipv4Addr::new(6, 6, 6, 6)))),
                ("cdn.example", Record::Address(ip)),
            ],
        );
        assert_eq!(
            decode_answer(&answer, 7, "registry.example", RecordType::A),
            Some(Answer::Addresses(vec![ip]))
        );
        assert_eq!(decode_answer(&answer, 8, "registry.example", RecordType::A), None);
        assert_eq!(decode_answer(&answer, 7, "other.example", RecordType::A), None);
        assert_eq!(decode_answer(&answer, 7, "registry.example", RecordType::Aaaa), None);
    }

    #[test]
    fn a_name_that_points_to_itself_is_refused() {
        let mut message = encode_query(1, "a.b", RecordType::A).unwrap();
        message[2] = 0x80;
        message[12] = 0xc0;
        message[13] = 12;
        assert_eq!(decode_answer(&message, 1, "a.b", RecordType::A), None);
    }

    #[test]
    fn impossible_names_are_not_asked() {
        for name in ["", ".", "a..b", &"a".repeat(64), &"abc.".repeat(80)] {
            assert_eq!(encode_query(1, name, RecordType::A), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), keep_header in any::<bool>()) {
            let mut message = encode_query(1, "a.b", RecordType::A).unwrap();
            message[2] = 0x80;
            message[7] = 3;
            let input = if keep_header { message.extend(bytes); message } else { bytes };
            let _ = decode_answer(&input, 1, "a.b", RecordType::A);
        }
    }
}
