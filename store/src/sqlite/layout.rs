//! Where things lie below `mail_root`.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{StoreError, limits, store::Result};

/// What a folder's name keeps as it is, besides letters and digits.
const KEPT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'+')
    .remove(b'=');

/// The paths of one `mail_root`.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.root.join("directory.db")
    }

    pub(super) fn spool(&self) -> PathBuf {
        self.root.join("spool.db")
    }

    pub(super) fn spool_folder(&self) -> PathBuf {
        self.root.join("spool")
    }

    pub(super) fn stage_folder(&self) -> PathBuf {
        self.root.join("spool").join("tmp")
    }

    pub(super) fn run_folder(&self) -> PathBuf {
        self.root.join("run")
    }

    pub(super) fn accounts_folder(&self) -> PathBuf {
        self.root.join("accounts")
    }

    /// Folders that are being removed. No domain is encoded with a leading dot.
    pub(super) fn trash_folder(&self) -> PathBuf {
        self.root.join("accounts").join(".trash")
    }

    /// An account's folder.
    pub(super) fn account_folder(&self, local_part: &str, domain: &str) -> Result<PathBuf> {
        let accounts = self.accounts_folder();
        Ok(accounts.join(encode(domain)?).join(encode(local_part)?))
    }
}

/// Where an account's folder has its large contents.
pub(super) fn messages_folder(account_folder: &Path) -> PathBuf {
    account_folder.join("messages")
}

/// The file of a large content in an account's folder.
pub(super) fn content_file(account_folder: &Path, email_id: u128) -> PathBuf {
    let name = format!("{email_id:032x}");
    let folder = messages_folder(account_folder).join(&name[30..]);
    folder.join(name + ".eml")
}

/// A name as a folder's: upper case, a leading dot and all that is special are percent-encoded,
/// so that it leads nowhere else and differs from others in more than case.
fn encode(name: &str) -> Result<String> {
    let mut encoded = String::new();
    for (index, c) in name.char_indices() {
        let mut bytes = [0; 4];
        match c {
            'A'..='Z' => encoded += &format!("%{:02X}", c as u32),
            '.' if index == 0 => encoded += "%2E",
            c => encoded.extend(utf8_percent_encode(c.encode_utf8(&mut bytes), &KEPT)),
        }
    }
    match encoded.len() <= limits::FOLDER_NAME_BYTES {
        true => Ok(encoded),
        false => Err(StoreError::TooMany("bytes in the address")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_name_is_one_folder_and_no_two_are_the_same(
            name in "[./\\\\\x00%A-Ca-c]{1,40}|\\PC{1,20}",
        ) {
            let encoded = encode(&name).expect("short");
            let path = Path::new(&encoded);
            let components: Vec<_> = path.components().collect();
            prop_assert_eq!(&components[..], [Component::Normal(path.as_os_str())]);
            prop_assert!(!encoded.contains('\0'));
            let decoded = percent_decode_str(&encoded).decode_utf8().expect("it was UTF-8");
            prop_assert_eq!(decoded, name);
        }
    }

    #[test]
    fn no_name_leads_outside_its_folder() {
        for name in ["..", ".", "a/b", "/etc", "\0", "..\\x", ".trash"] {
            let encoded = encode(name).expect("short");
            assert!(!encoded.starts_with('.'), "{encoded}");
            assert!(!encoded.contains(['/', '\\', '\0']), "{encoded}");
        }
    }

    #[test]
    fn different_names_differ_in_more_than_case() {
        let names = ["a", "A", "%41", "é", "É", "a.b", ".a", "%2Ea"];
        let mut encoded: Vec<String> = names
            .iter()
            .map(|name| encode(name).expect("short").to_lowercase())
            .collect();
        encoded.sort();
        encoded.dedup();
        assert_eq!(encoded.len(), names.len());
    }

    #[test]
    fn a_name_too_long_for_a_folder_is_refused() {
        let longest = "é".repeat(42);
        assert!(encode(&longest).is_ok());
        assert_eq!(
            encode(&"é".repeat(43)),
            Err(StoreError::TooMany("bytes in the address"))
        );
    }
}
