//! Counts the Received fields of a message as it passes: mail that goes in circles collects them
//! (RFC 5321 §6.3).

/// Where the counter is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// This many bytes of the field's name have been met at the start of a line.
    Name(usize),
    /// In a line of which nothing more is to be known.
    Line,
    /// After the header.
    Body,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct ReceivedCounter {
    place: Place,
    fields: u32,
}

const NAME: &[u8] = b"received:";

impl ReceivedCounter {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Name(0),
            fields: 0,
        }
    }

    /// Takes content, whose lines end in CRLF; returns how many fields it has so far.
    pub(super) fn handle_content(&mut self, mut content: &[u8]) -> u32 {
        while let Some(&byte) = content.first() {
            match self.place {
                Place::Body => break,
                Place::Line => match content.iter().position(|&byte| byte == b'\n') {
                    Some(end) => {
                        self.place = Place::Name(0);
                        content = &content[end + 1..];
                        continue;
                    }
                    None => break,
                },
                Place::Name(0) if byte == b'\r' => self.place = Place::Body,
                Place::Name(met) if byte.to_ascii_lowercase() == NAME[met] => {
                    self.place = Place::Name(met + 1);
                    if met + 1 == NAME.len() {
                        self.fields += 1;
                        self.place = Place::Line;
                    }
                }
                Place::Name(_) => {
                    self.place = Place::Line;
                    // This byte may end the line.
                    continue;
                }
            }
            content = &content[1..];
        }
        self.fields
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_of_the_header_count_and_nothing_else() {
        let text = "Received: a\r\n\treceived: folded\r\nX-Received: b\r\nRECEIVED:c\r\nReceive\r\n\
                    Received-SPF: d\r\n\r\nReceived: e\r\n";
        assert_eq!(ReceivedCounter::new().handle_content(text.as_bytes()), 2);
    }

    proptest! {
        #[test]
        fn splitting_changes_no_count(fields in 0_u32..5, at in 0_usize..60) {
            let traces = "Received: z\r\n".repeat(fields as usize);
            let text = format!("{traces}Subject: x\r\n\r\nReceived: y\r\n");
            let (head, tail) = text.as_bytes().split_at(at.min(text.len()));
            let mut counter = ReceivedCounter::new();
            counter.handle_content(head);
            prop_assert_eq!(counter.handle_content(tail), fields);
        }
    }
}
