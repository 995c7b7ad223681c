//! Messages of the agent's protocol, and the words that they are made of. Source: IETF draft-ietf-sshm-ssh-agent,
//! RFC 4251 section 5.

use super::key::Key;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// What an agent with `keys` says to `message`. What it does not know it declines.
pub(super) fn answer(message: &[u8], keys: &[Key]) -> Vec<u8> {
    match message.split_first() {
        Some((&REQUEST_IDENTITIES, _)) => {
            let mut answer = vec![IDENTITIES_ANSWER];
            answer.extend(u32::try_from(keys.len()).unwrap_or(0).to_be_bytes());
            for key in keys {
                answer.extend(string(&key.public));
                answer.extend(string(key.comment.as_bytes()));
            }
            answer
        }
        Some((&SIGN_REQUEST, mut rest)) => signature(&mut rest, keys).unwrap_or_else(|| vec![FAILURE]),
        _ => vec![FAILURE],
    }
}

fn signature(rest: &mut &[u8], keys: &[Key]) -> Option<Vec<u8>> {
    let (public, data, flags) = (take_string(rest)?, take_string(rest)?, take_u32(rest)?);
    let key = keys.iter().find(|key| key.public == public)?;
    let mut answer = vec![SIGN_RESPONSE];
    answer.extend(string(&key.sign(data, flags)?));
    Some(answer)
}

/// Length, then bytes.
pub(super) fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("messages are short");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A number that is not negative, without leading zeros and with its sign bit.
pub(super) fn mpint(bytes: &[u8]) -> Vec<u8> {
    let digits = without_zeros(bytes);
    if digits.first().is_some_and(|first| first & 0x80 != 0) {
        string(&[&[0], digits].concat())
    } else {
        string(digits)
    }
}

pub(super) fn without_zeros(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())..]
}

/// Takes four bytes off the front.
pub(super) fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (number, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    Some(u32::from_be_bytes(*number))
}

/// Takes a string off the front.
pub(super) fn take_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_u32(rest)? as usize;
    let (string, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_sign_bit_and_no_zeros() {
        assert_eq!(mpint(&[0, 0, 0x7f]), [0, 0, 0, 1, 0x7f]);
        assert_eq!(mpint(&[0x80]), [0, 0, 0, 2, 0, 0x80]);
        assert_eq!(mpint(&[0]), [0, 0, 0, 0]);
    }

    #[test]
    fn whatever_is_said_is_answered() {
        for message in [&[][..], &[27, 1, 2], &[13], &[13, 0, 0, 0, 9, 1], &[13, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(answer(message, &[]), [FAILURE]);
        }
        assert_eq!(answer(&[11], &[]), [12, 0, 0, 0, 0]);
    }
}
