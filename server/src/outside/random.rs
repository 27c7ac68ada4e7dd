//! Random numbers that nobody can guess, from the operating system.

use aws_lc_rs::rand;

/// Letters and digits that are not mistaken for one another.
const CLEAR_CHARACTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Random bytes.
///
/// # Panics
///
/// When the operating system gives none, as nothing secret can be made then.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system gives random numbers");
    bytes
}

/// A seed.
pub fn seed() -> u64 {
    u64::from_ne_bytes(bytes())
}

/// A random GUID (RFC 9562 §5.4).
pub fn guid() -> u128 {
    const VERSION_4: u128 = 0x4 << 76;
    const VARIANT: u128 = 0b10 << 62;
    let random = u128::from_ne_bytes(bytes());
    random & !(0xf << 76) & !(0b11 << 62) | VERSION_4 | VARIANT
}

/// A password of 100 bits in four groups, easy to read out and to type.
pub fn password() -> String {
    let bytes: [u8; 20] = bytes();
    let mut password = String::with_capacity(23);
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % 5 == 0 {
            password.push('-');
        }
        password.push(char::from(CLEAR_CHARACTERS[usize::from(byte % 32)]));
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_four_groups_and_differ() {
        let password = password();
        let groups: Vec<usize> = password.split('-').map(str::len).collect();
        assert_eq!(groups, [5; 4]);
        assert_ne!(password, super::password());
    }

    #[test]
    fn guids_say_that_they_are_random() {
        let text = format!("{:032x}", guid());
        assert_eq!(&text[12..13], "4");
        assert!("89ab".contains(&text[16..17]));
    }
}
