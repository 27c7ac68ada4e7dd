//! The one source of randomness: a seed, stretched.

/// A deterministic generator (SplitMix64). It makes identifiers that must not collide. Who sees
/// some of its numbers can work out the others: what an attacker must not guess comes from it only
/// where nobody but the one who is asked sees any (the ids of DNS queries).
#[derive(Clone, Debug)]
pub struct Entropy {
    state: u64,
}

impl Entropy {
    /// The same seed always gives the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be 0. The bias is below 2⁻³² for bounds below 2³².
    pub fn next_below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}
