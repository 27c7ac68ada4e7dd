//! Names of things in the API, made from those of the store.

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rmail_proto::{InstanceId, ModSeq};

/// Bytes of a part's hash in an attachment's id.
const HASH_BYTES: usize = 16;

/// `changeKey`: another one after each change of the message.
pub fn change_key(instance: InstanceId, modseq: ModSeq) -> String {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&instance.0.to_be_bytes());
    key[16..].copy_from_slice(&modseq.0.to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(key)
}

/// `@odata.etag` (RFC 9110 §8.8.3)
pub fn etag(change_key: &str) -> String {
    ["W/\"", change_key, "\""].concat()
}

/// An attachment's id: its place in the message and a hash of its content. Valid for one message.
pub fn attachment_id(part: u32, content: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, content);
    let hash = &hash.as_ref()[..HASH_BYTES];
    BASE64_URL_SAFE_NO_PAD.encode([&part.to_be_bytes()[..], hash].concat())
}

/// The place in an attachment's id. Whether the content is the same is to be seen there.
pub fn parse_attachment_id(id: &str) -> Option<u32> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(id).ok()?;
    let (part, hash) = bytes.split_first_chunk::<4>()?;
    (hash.len() == HASH_BYTES).then(|| u32::from_be_bytes(*part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_keys_change_with_the_message() {
        let key = change_key(InstanceId(1), ModSeq(1));
        assert_ne!(key, change_key(InstanceId(1), ModSeq(2)));
        assert_ne!(key, change_key(InstanceId(2), ModSeq(1)));
        assert_eq!(etag("a"), "W/\"a\"");
    }

    #[test]
    fn attachment_ids_name_a_place() {
        let id = attachment_id(7, b"content");
        assert_eq!(parse_attachment_id(&id), Some(7));
        assert_ne!(id, attachment_id(7, b"contents"));
        for text in ["", "AAAA", "AAAAAAAA", "x y", &id[1..], &format!("{id}A")] {
            assert_eq!(parse_attachment_id(text), None, "{text}");
        }
    }
}
