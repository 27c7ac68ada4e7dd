//! The secret that signs tokens where the configuration names none: made once, and the same for
//! all processes on a `mail_root`.

use std::{fs, io, path::Path};

use rmail_proto::Secret;

use super::random;
use crate::private_files::{lock, make_folder, write_durably};

/// Letters and digits of a secret: 256 bits in hexadecimal.
const DIGITS: usize = 64;

/// The secret in `{mail_root}/secrets/token_secret`, which is made if it is not there.
///
/// # Errors
///
/// When the folder or the file can't be read or made.
pub fn load_or_make(mail_root: &Path) -> io::Result<Secret<String>> {
    let folder = mail_root.join("secrets");
    make_folder(&folder)?;
    let _lock = lock(&folder.join("lock"))?;
    let path = folder.join("token_secret");
    match fs::read_to_string(&path) {
        Ok(secret) if secret.trim().len() == DIGITS => {
            return Ok(Secret::new(secret.trim().to_owned()));
        }
        // Cut off, or emptied: tokens that it signed can't be checked any more.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret: String = random::bytes::<{ DIGITS / 2 }>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    write_durably(&path, secret.as_bytes(), 0o600)?;
    Ok(Secret::new(secret))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secret_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = load_or_make(folder.path()).unwrap();
        let again = load_or_make(folder.path()).unwrap();
        assert_eq!(first.reveal(), again.reveal());
        let path = folder.path().join("secrets/token_secret");
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
