//! Sets of message numbers or UIDs as a client writes them.

use alloc::vec::Vec;
use core::{num::NonZeroU32, ops::RangeInclusive};

/// A number, or the largest one in use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SequenceNumber {
    /// This number.
    Number(NonZeroU32),
    /// `*`: the largest number in use.
    Star,
}

/// Ranges of message numbers or of UIDs, in any order, with either end first.
///
/// At least one, and at most [`limits::IMAP_SET_RANGES`](crate::limits::IMAP_SET_RANGES) of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SequenceSet(pub Vec<(SequenceNumber, SequenceNumber)>);

impl SequenceSet {
    /// The numbers meant when `largest` is the largest one in use (0: none is), as sorted,
    /// disjoint, non-adjacent ranges. Numbers above `largest` are kept; a range that ends in `*`
    /// always has `largest` in it (RFC 3501 §6.4.8), and `*` means nothing when `largest` is 0.
    pub fn resolve(&self, largest: u32) -> Vec<RangeInclusive<u32>> {
        let largest = NonZeroU32::new(largest);
        let number = |number: SequenceNumber| match number {
            SequenceNumber::Number(number) => Some(number),
            SequenceNumber::Star => largest,
        };
        let mut ranges: Vec<(u32, u32)> = self
            .0
            .iter()
            .filter_map(|&(first, last)| {
                let (first, last) = (number(first)?.get(), number(last)?.get());
                Some((first.min(last), first.max(last)))
            })
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<RangeInclusive<u32>> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.end().saturating_add(1) => {
                    *before = *before.start()..=last.max(*before.end());
                }
                Some(_) | None => merged.push(first..=last),
            }
        }
        merged
    }

    /// The largest number written out, for a check of message numbers against the mailbox's size.
    pub fn largest_number(&self) -> Option<u32> {
        let ends = self.0.iter().flat_map(|&(first, last)| [first, last]);
        ends.filter_map(|end| match end {
            SequenceNumber::Number(number) => Some(number.get()),
            SequenceNumber::Star => None,
        })
        .max()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn number(number: u32) -> SequenceNumber {
        SequenceNumber::Number(NonZeroU32::new(number).unwrap())
    }

    #[test]
    fn ranges_are_sorted_and_merged() {
        let set = SequenceSet(vec![
            (number(7), number(5)),
            (number(1), number(1)),
            (number(2), number(2)),
            (number(6), number(9)),
            (number(u32::MAX), number(u32::MAX)),
        ]);
        assert_eq!(set.resolve(3), [1..=2, 5..=9, u32::MAX..=u32::MAX]);
        assert_eq!(set.largest_number(), Some(u32::MAX));
    }

    #[test]
    fn range_to_star_has_the_largest_number_in_it() {
        let set = SequenceSet(vec![(number(559), SequenceNumber::Star)]);
        assert_eq!(set.resolve(17), [17..=559]);
        assert_eq!(set.resolve(1000), [559..=1000]);
        assert_eq!(set.largest_number(), Some(559));
    }

    #[test]
    fn star_means_nothing_in_an_empty_mailbox() {
        let star = SequenceNumber::Star;
        let set = SequenceSet(vec![
            (star, star),
            (number(1), star),
            (number(4), number(4)),
        ]);
        assert_eq!(set.resolve(0), [4..=4]);
    }
}
