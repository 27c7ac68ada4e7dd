//! A set of UIDs as ranges.

use alloc::vec::Vec;
use core::{fmt, ops::RangeInclusive};

use crate::Uid;

/// Sorted, disjoint, non-adjacent ranges of UIDs. A large set that is mostly contiguous is small.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UidSet {
    ranges: Vec<RangeInclusive<Uid>>,
}

impl UidSet {
    /// No UID.
    pub const EMPTY: Self = Self { ranges: Vec::new() };

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many UIDs there are, whether messages have them or not.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(width).sum()
    }

    /// The smallest.
    pub fn first(&self) -> Option<Uid> {
        self.ranges.first().map(|range| *range.start())
    }

    /// The largest.
    pub fn last(&self) -> Option<Uid> {
        self.ranges.last().map(|range| *range.end())
    }

    /// In order; each is not empty, and at least one UID lies between two of them.
    pub fn ranges(&self) -> &[RangeInclusive<Uid>] {
        &self.ranges
    }

    /// The ranges without what is below this UID.
    pub fn ranges_from(&self, uid: Uid) -> impl Iterator<Item = RangeInclusive<Uid>> + '_ {
        let index = self.ranges.partition_point(|range| *range.end() < uid);
        let ranges = self.ranges.get(index..).unwrap_or_default().iter();
        ranges.map(move |range| uid.max(*range.start())..=*range.end())
    }

    /// In order. As many as [`len`](Self::len) says, so mind its bound.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        let numbers = self.ranges.iter().flat_map(numbers);
        numbers.filter_map(Uid::new)
    }

    /// Whether this UID is among them.
    pub fn contains(&self, uid: Uid) -> bool {
        let index = self.ranges.partition_point(|range| *range.end() < uid);
        self.ranges
            .get(index)
            .is_some_and(|range| *range.start() <= uid)
    }

    /// Whether one of these UIDs is among them.
    pub fn intersects(&self, uids: &RangeInclusive<Uid>) -> bool {
        let index = self
            .ranges
            .partition_point(|range| range.end() < uids.start());
        self.ranges
            .get(index)
            .is_some_and(|range| range.start() <= uids.end())
    }

    /// Adds one. Cheap when it is larger than all others.
    pub fn insert(&mut self, uid: Uid) {
        self.insert_range(uid..=uid);
    }

    /// Adds all of a range; nothing when it is empty. Cheap at the end.
    pub fn insert_range(&mut self, range: RangeInclusive<Uid>) {
        let (mut start, mut end) = (*range.start(), *range.end());
        if start > end {
            return;
        }
        // All ranges that touch the new one, adjacent ones included, become one with it.
        let touched_from = self
            .ranges
            .partition_point(|range| range.end().get().saturating_add(1) < start.get());
        let touched_to = self
            .ranges
            .partition_point(|range| range.start().get() <= end.get().saturating_add(1));
        if let Some(touched) = self.ranges.get(touched_from..touched_to)
            && let (Some(first), Some(last)) = (touched.first(), touched.last())
        {
            start = start.min(*first.start());
            end = end.max(*last.end());
        }
        let touched = touched_from..touched_to.max(touched_from);
        self.ranges.splice(touched, [start..=end]);
    }

    /// The UIDs that are in one of the two.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        let mut union = Self::EMPTY;
        let (mut left, mut right) = (
            self.ranges.iter().peekable(),
            other.ranges.iter().peekable(),
        );
        while let Some(range) = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a.start() <= b.start() => left.next(),
            (Some(_), None) => left.next(),
            (_, Some(_)) => right.next(),
            (None, None) => None,
        } {
            union.insert_range(range.clone());
        }
        union
    }

    /// The UIDs that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let (mut left, mut right) = (0, 0);
        while let (Some(a), Some(b)) = (self.ranges.get(left), other.ranges.get(right)) {
            let (start, end) = (*a.start().max(b.start()), *a.end().min(b.end()));
            if start <= end {
                ranges.push(start..=end);
            }
            if a.end() <= b.end() {
                left += 1;
            } else {
                right += 1;
            }
        }
        Self { ranges }
    }

    /// The UIDs of `self` that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }

    fn complement(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut from = Some(Uid::MIN);
        for range in &self.ranges {
            if let (Some(start), Some(end)) = (from, Uid::new(range.start().get() - 1))
                && start <= end
            {
                ranges.push(start..=end);
            }
            from = range.end().get().checked_add(1).and_then(Uid::new);
        }
        ranges.extend(from.map(|start| start..=Uid::MAX));
        Self { ranges }
    }
}

fn numbers(range: &RangeInclusive<Uid>) -> RangeInclusive<u32> {
    range.start().get()..=range.end().get()
}

fn width(range: &RangeInclusive<Uid>) -> u64 {
    u64::from(range.end().get() - range.start().get()) + 1
}

impl From<RangeInclusive<Uid>> for UidSet {
    /// All of a range; the empty set when it is empty.
    fn from(range: RangeInclusive<Uid>) -> Self {
        let mut set = Self::EMPTY;
        set.insert_range(range);
        set
    }
}

impl FromIterator<Uid> for UidSet {
    /// In any order; fast when they come sorted.
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut set = Self::EMPTY;
        for uid in uids {
            set.insert(uid);
        }
        set
    }
}

impl fmt::Display for UidSet {
    /// As a `uid-set` (RFC 4315 §4): `1:3,5`. Nothing when it is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", range.start().get())?;
            if range.start() < range.end() {
                write!(f, ":{}", range.end().get())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, string::ToString};

    use proptest::prelude::*;

    use super::*;

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    fn set(numbers: &BTreeSet<u32>) -> UidSet {
        numbers.iter().map(|&number| uid(number)).collect()
    }

    fn numbers_of(set: &UidSet) -> BTreeSet<u32> {
        set.iter().map(Uid::get).collect()
    }

    #[test]
    fn displays_ranges_and_single_uids() {
        assert_eq!(set(&BTreeSet::from([1, 2, 3, 5])).to_string(), "1:3,5");
        assert_eq!(UidSet::EMPTY.to_string(), "");
    }

    #[test]
    fn ends_of_the_number_line_are_ordinary_uids() {
        let mut all = UidSet::from(Uid::MIN..=Uid::MAX);
        all.insert(Uid::MAX);
        assert_eq!(all.len(), u64::from(u32::MAX));
        assert!(
            all.difference(&UidSet::from(Uid::MIN..=Uid::MAX))
                .is_empty()
        );
        assert_eq!(all.difference(&UidSet::EMPTY), all);
    }

    #[test]
    fn range_that_runs_backwards_is_empty() {
        assert!(UidSet::from(uid(3)..=uid(2)).is_empty());
    }

    fn numbers() -> impl Strategy<Value = BTreeSet<u32>> {
        proptest::collection::btree_set(1u32..40, 0..24)
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(
            a in numbers(),
            b in numbers(),
            from in 1u32..40,
            to in 1u32..40,
        ) {
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(&numbers_of(&x), &a);
            prop_assert_eq!(x.len(), a.len() as u64);
            prop_assert_eq!(x.union(&y), set(&(&a | &b)));
            prop_assert_eq!(x.intersection(&y), set(&(&a & &b)));
            prop_assert_eq!(x.difference(&y), set(&(&a - &b)));
            for number in 1..41 {
                prop_assert_eq!(x.contains(uid(number)), a.contains(&number));
            }
            let meets = a.iter().any(|number| (from..=to).contains(number));
            let above: UidSet = x.iter().filter(|uid| uid.get() >= from).collect();
            prop_assert!(x.ranges_from(uid(from)).eq(above.ranges().iter().cloned()));
            if from <= to {
                prop_assert_eq!(x.intersects(&(uid(from)..=uid(to))), meets);
            }
            let mut wider = x.clone();
            wider.insert_range(uid(from)..=uid(to));
            let mut expected = a.clone();
            expected.extend(from..=to);
            prop_assert_eq!(wider, set(&expected));
        }

        #[test]
        fn order_of_insertion_does_not_matter(order in proptest::collection::vec(1u32..40, 0..40)) {
            let sorted: BTreeSet<u32> = order.iter().copied().collect();
            let any: UidSet = order.into_iter().map(uid).collect();
            prop_assert_eq!(any, set(&sorted));
        }
    }
}
