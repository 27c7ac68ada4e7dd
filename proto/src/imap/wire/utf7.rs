//! Modified UTF-7, in which mailbox names travel (RFC 3501 §5.1.3).

use alloc::{string::String, vec::Vec};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// A name in modified UTF-7, which is plain ASCII without CR, LF and NUL.
pub fn encode_mailbox_name(name: &str) -> String {
    let mut encoded = String::new();
    let mut shifted = Vec::new();
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            unshift(&mut encoded, &mut shifted);
            encoded.push(c);
            if c == '&' {
                encoded.push('-');
            }
        } else {
            shifted.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
    }
    unshift(&mut encoded, &mut shifted);
    encoded
}

/// The name that this is the one encoding of; `None` when it is not what
/// [`encode_mailbox_name`] makes of any name.
///
/// ```abnf
/// name    = *(printable / "&-" / "&" 1*base64-char "-")   ; printable is SP to "~" without "&"
/// ```
///
/// What is encoded must not be printable ASCII, must be whole UTF-16, padded with zero bits, and
/// must not follow another encoded run directly.
pub fn decode_mailbox_name(encoded: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = encoded;
    let mut after_run = false;
    while let Some(c) = rest.chars().next() {
        if !(' '..='~').contains(&c) {
            return None;
        }
        if c != '&' {
            name.push(c);
            rest = &rest[1..];
            after_run = false;
            continue;
        }
        let (run, after) = rest[1..].split_once('-')?;
        rest = after;
        if run.is_empty() {
            name.push('&');
            after_run = false;
            continue;
        }
        if after_run {
            return None;
        }
        after_run = true;
        for decoded in char::decode_utf16(decode_run(run.as_bytes())?) {
            let decoded = decoded.ok()?;
            if (' '..='~').contains(&decoded) {
                return None;
            }
            name.push(decoded);
        }
    }
    Some(name)
}

/// Ends a run of shifted characters.
fn unshift(encoded: &mut String, shifted: &mut Vec<u16>) {
    if shifted.is_empty() {
        return;
    }
    encoded.push('&');
    let (mut bits, mut bit_count) = (0u32, 0);
    for unit in shifted.drain(..) {
        bits = bits << 16 | u32::from(unit);
        bit_count += 16;
        while bit_count >= 6 {
            bit_count -= 6;
            encoded.push(char::from(ALPHABET[(bits >> bit_count & 63) as usize]));
        }
        bits &= (1 << bit_count) - 1;
    }
    if bit_count > 0 {
        encoded.push(char::from(
            ALPHABET[(bits << (6 - bit_count) & 63) as usize],
        ));
    }
    encoded.push('-');
}

/// The UTF-16 units of a run without its `&` and `-`.
fn decode_run(run: &[u8]) -> Option<Vec<u16>> {
    let mut units = Vec::new();
    let (mut bits, mut bit_count) = (0u32, 0);
    for byte in run {
        let value = ALPHABET.iter().position(|known| known == byte)?;
        bits = bits << 6 | value as u32;
        bit_count += 6;
        if bit_count >= 16 {
            bit_count -= 16;
            units.push((bits >> bit_count) as u16);
            bits &= (1 << bit_count) - 1;
        }
    }
    (bit_count < 6 && bits == 0 && !units.is_empty()).then_some(units)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_the_rfc_come_out_as_printed_there() {
        for (name, encoded) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("Tom & Jerry", "Tom &- Jerry"),
            ("📬", "&2D3c7A-"),
            ("a\u{7f}\tb", "a&AH8ACQ-b"),
            ("", ""),
        ] {
            assert_eq!(encode_mailbox_name(name), encoded);
            assert_eq!(decode_mailbox_name(encoded).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_no_name_encodes_to_is_refused() {
        for encoded in [
            "&",             // open
            "a&U,BTFw",      // open
            "&AGE-",         // printable
            "&AOQ",          // open
            "&AOR-",         // padding that is not zero
            "&AOQA-",        // a whole surplus of padding
            "&2D0-",         // half a surrogate pair
            "&ZeU-&ZyyKng-", // two runs that should be one
            "&Zé-",          // no base64
            "&A/-",          // no base64
            "\u{e9}",        // not ASCII
            "a\tb",          // not printable
        ] {
            assert_eq!(decode_mailbox_name(encoded), None, "{encoded}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in any::<String>()) {
            let encoded = encode_mailbox_name(&name);
            prop_assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(decode_mailbox_name(&encoded), Some(name));
        }

        #[test]
        fn what_decodes_encodes_to_the_same(encoded in "([a-c -]|&|[A-Z0-9,+]){0,12}") {
            if let Some(name) = decode_mailbox_name(&encoded) {
                prop_assert_eq!(encode_mailbox_name(&name), encoded);
            }
        }
    }
}
