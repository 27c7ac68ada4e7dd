//! Texts of ids and times.

use core::fmt;

/// ASCII of a fixed length. Lists have ids and times by the hundred, and to have them so costs a
/// fraction of what `fmt` takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AsciiText<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> AsciiText<BYTES> {
    pub(crate) const fn new(bytes: [u8; BYTES]) -> Self {
        debug_assert!(bytes.is_ascii(), "it is made of letters and digits");
        Self(bytes)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("ASCII is UTF-8")
    }
}

impl<const BYTES: usize> fmt::Display for AsciiText<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
