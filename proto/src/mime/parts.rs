//! The part tree of a message: where each part's header and body stand.

use alloc::vec::Vec;
use core::{num::NonZeroU32, ops::Range};

use crate::limits;

/// A message as a tree of parts (RFC 2045 §2.4), each with the bytes that it takes.
///
/// Stored as a list of numbers, each in LEB128, part by part from the front to the back of the
/// message: kind (0 leaf, 1 multipart, 2 message), header start, header bytes, body bytes, number
/// of children.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parts {
    /// In the order of the message; a part's children follow it. Not empty.
    parts: Vec<Part>,
}

/// One part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// What its body is made of.
    pub kind: PartKind,
    /// Its header, with the final empty line.
    pub header: Range<u64>,
    /// Its body, as it was sent.
    pub body: Range<u64>,
    /// How many parts stand directly below it: none in a leaf, one in a message.
    pub children: u32,
}

/// What a part's body is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PartKind {
    /// Anything but parts.
    Leaf,
    /// `multipart/*`: parts.
    Multipart,
    /// `message/rfc822`: one message, whose header and body are those of its only child.
    Message,
}

/// A part that a path of numbers leads to (RFC 3501 §6.4.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Located<'a> {
    /// The part, with its MIME header; for the empty path the message itself.
    pub part: &'a Part,
    /// The message whose HEADER and TEXT are meant, if the part is one.
    pub message: Option<&'a Part>,
}

impl Parts {
    /// Parts in their order make a tree, or `None`: when there is none or more than
    /// [`limits::MIME_PARTS_MAX`], when the numbers of children do not fit, or when they nest
    /// deeper than [`limits::MIME_DEPTH_MAX`].
    pub fn new(parts: Vec<Part>) -> Option<Self> {
        let mut open: Vec<u32> = Vec::from([1]);
        for part in &parts {
            let siblings = open.last_mut().filter(|left| **left > 0)?;
            *siblings -= 1;
            let fits = match part.kind {
                PartKind::Leaf => part.children == 0,
                PartKind::Multipart => true,
                PartKind::Message => part.children == 1,
            };
            open.push(part.children);
            if !fits || open.len() > limits::MIME_DEPTH_MAX + 2 {
                return None;
            }
            while open.last() == Some(&0) {
                open.pop();
            }
        }
        let complete = open.is_empty() && parts.len() <= limits::MIME_PARTS_MAX;
        complete.then_some(Self { parts })
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            let kind = match part.kind {
                PartKind::Leaf => 0,
                PartKind::Multipart => 1,
                PartKind::Message => 2,
            };
            let header_bytes = part.header.end - part.header.start;
            let body_bytes = part.body.end - part.body.start;
            let numbers = [
                kind,
                part.header.start,
                header_bytes,
                body_bytes,
                u64::from(part.children),
            ];
            for number in numbers {
                write_number(&mut out, number);
            }
        }
        out
    }

    /// Reads the stored form; `None` when it is not one.
    pub fn decode(mut stored: &[u8]) -> Option<Self> {
        let mut parts = Vec::new();
        while !stored.is_empty() && parts.len() <= limits::MIME_PARTS_MAX {
            let kind = match read_number(&mut stored)? {
                0 => PartKind::Leaf,
                1 => PartKind::Multipart,
                2 => PartKind::Message,
                _ => return None,
            };
            let start = read_number(&mut stored)?;
            let body_start = start.checked_add(read_number(&mut stored)?)?;
            let body_end = body_start.checked_add(read_number(&mut stored)?)?;
            parts.push(Part {
                kind,
                header: start..body_start,
                body: body_start..body_end,
                children: u32::try_from(read_number(&mut stored)?).ok()?,
            });
        }
        Self::new(parts)
    }

    /// In the order of the message: each part is followed by those below it.
    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter()
    }

    /// The part that these numbers lead to. A message that is no multipart has one part, whose
    /// number is 1 and which is its body; numbers below a part that is a message count that
    /// message's parts.
    pub fn find(&self, path: &[NonZeroU32]) -> Option<Located<'_>> {
        let mut index = 0;
        // Whether `index` is a whole message, whose part 1 may be its own body.
        let mut is_message = true;
        for number in path {
            if !is_message && self.parts[index].kind == PartKind::Message {
                index += 1;
                is_message = true;
            }
            let here = &self.parts[index];
            index = match here.kind {
                PartKind::Multipart => self.child(index, number.get())?,
                PartKind::Leaf | PartKind::Message if is_message && number.get() == 1 => index,
                PartKind::Leaf | PartKind::Message => return None,
            };
            is_message = false;
        }
        let part = &self.parts[index];
        let message = match part.kind {
            _ if path.is_empty() => Some(part),
            PartKind::Message => self.parts.get(index + 1),
            PartKind::Leaf | PartKind::Multipart => None,
        };
        Some(Located { part, message })
    }

    fn child(&self, parent: usize, number: u32) -> Option<usize> {
        if number > self.parts[parent].children {
            return None;
        }
        let mut index = parent + 1;
        for _ in 1..number {
            index = self.after(index);
        }
        Some(index)
    }

    /// The part behind this one and all below it.
    fn after(&self, index: usize) -> usize {
        let mut left: u64 = 1;
        let mut index = index;
        while left > 0 {
            left = left - 1 + u64::from(self.parts[index].children);
            index += 1;
        }
        index
    }
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(stored: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = stored.split_first()?;
        *stored = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn part(kind: PartKind, start: u64, children: u32) -> Part {
        Part {
            kind,
            header: start..start + 10,
            body: start + 10..start + 20,
            children,
        }
    }

    /// The example of RFC 3501 §6.4.5, as far as it nests.
    fn example() -> Parts {
        use PartKind::{Leaf, Message, Multipart};
        Parts::new(vec![
            part(Multipart, 0, 4),
            part(Leaf, 100, 0),    // 1
            part(Leaf, 200, 0),    // 2
            part(Message, 300, 1), // 3
            part(Multipart, 310, 2),
            part(Leaf, 311, 0),      // 3.1
            part(Leaf, 312, 0),      // 3.2
            part(Multipart, 400, 2), // 4
            part(Leaf, 410, 0),      // 4.1
            part(Message, 420, 1),   // 4.2
            part(Multipart, 430, 2),
            part(Leaf, 431, 0),      // 4.2.1
            part(Multipart, 440, 2), // 4.2.2
            part(Leaf, 441, 0),      // 4.2.2.1
            part(Leaf, 442, 0),      // 4.2.2.2
        ])
        .unwrap()
    }

    fn find(parts: &Parts, path: &[u32]) -> Option<(u64, Option<u64>)> {
        let path: Vec<NonZeroU32> = path.iter().map(|&it| it.try_into().unwrap()).collect();
        let located = parts.find(&path)?;
        let message = located.message.map(|message| message.header.start);
        Some((located.part.header.start, message))
    }

    #[test]
    fn numbers_lead_where_the_example_says() {
        let parts = example();
        for (path, expected) in [
            (&[][..], Some((0, Some(0)))),
            (&[1], Some((100, None))),
            (&[3], Some((300, Some(310)))),
            (&[3, 1], Some((311, None))),
            (&[3, 2], Some((312, None))),
            (&[4], Some((400, None))),
            (&[4, 1], Some((410, None))),
            (&[4, 2], Some((420, Some(430)))),
            (&[4, 2, 1], Some((431, None))),
            (&[4, 2, 2], Some((440, None))),
            (&[4, 2, 2, 2], Some((442, None))),
            (&[5], None),
            (&[1, 1], None),
            (&[3, 3], None),
            (&[4, 2, 2, 2, 1], None),
        ] {
            assert_eq!(find(&parts, path), expected, "{path:?}");
        }
    }

    #[test]
    fn message_that_is_no_multipart_has_one_part() {
        let text = Parts::new(vec![part(PartKind::Leaf, 0, 0)]).unwrap();
        assert_eq!(find(&text, &[1]), Some((0, None)));
        assert_eq!(find(&text, &[2]), None);
        assert_eq!(find(&text, &[1, 1]), None);
        let forwarded = Parts::new(vec![
            part(PartKind::Message, 0, 1),
            part(PartKind::Leaf, 10, 0),
        ]);
        let forwarded = forwarded.unwrap();
        assert_eq!(find(&forwarded, &[1]), Some((0, Some(10))));
        assert_eq!(find(&forwarded, &[1, 1]), Some((10, None)));
        assert_eq!(find(&forwarded, &[1, 1, 1]), None);
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        use PartKind::{Leaf, Message, Multipart};
        for parts in [
            vec![],
            vec![part(Multipart, 0, 1)],
            vec![part(Leaf, 0, 0), part(Leaf, 0, 0)],
            vec![part(Message, 0, 0)],
            vec![part(Leaf, 0, 1), part(Leaf, 0, 0)],
        ] {
            assert_eq!(Parts::new(parts), None);
        }
    }

    #[test]
    fn parts_and_depth_are_bounded() {
        let wide = |count: u32| {
            let leaves = (1..count).map(|_| part(PartKind::Leaf, 0, 0));
            let root = part(PartKind::Multipart, 0, count - 1);
            Parts::new([root].into_iter().chain(leaves).collect())
        };
        assert!(wide(limits::MIME_PARTS_MAX as u32).is_some());
        assert!(wide(limits::MIME_PARTS_MAX as u32 + 1).is_none());
        let deep = |depth: usize| {
            let mut parts = vec![part(PartKind::Multipart, 0, 1); depth];
            parts.push(part(PartKind::Leaf, 0, 0));
            Parts::new(parts)
        };
        assert!(deep(limits::MIME_DEPTH_MAX).is_some());
        assert!(deep(limits::MIME_DEPTH_MAX + 1).is_none());
    }

    #[test]
    fn stored_form_comes_back() {
        assert_eq!(Parts::decode(&example().encode()), Some(example()));
    }

    proptest! {
        #[test]
        fn any_stored_form_is_read_or_refused(
            stored in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..64),
            path in proptest::collection::vec(1u32..4, 0..4),
        ) {
            if let Some(parts) = Parts::decode(&stored) {
                let _ = find(&parts, &path);
                prop_assert_eq!(Parts::decode(&parts.encode()), Some(parts));
            }
        }
    }
}
