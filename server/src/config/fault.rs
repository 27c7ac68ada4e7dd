//! What is wrong with a configuration, each with its place.

use core::fmt;

/// A value that the server can't start with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Where: the JSON path (`smtp.port`, `domains[2]`), or a line and column.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: found {}; expected {}",
            self.path, self.found, self.expected
        )
    }
}

/// Every fault of a configuration: never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Something that the server starts with, and that is probably not what was meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// Where: the JSON path.
    pub path: String,
    /// What is odd about it, and what to do.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}
