//! Choices that a seed decides.

use crate::id;

/// A generator of pseudo-random numbers (`SplitMix64`): the same seed gives the same ones everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Makes ids and tokens of this thread depend on a seed from now on, so that a run can be repeated.
    pub(super) fn decide_ids(seed: u64) {
        let mut random = Self(seed);
        id::fill_with(move |bytes| bytes.fill_with(|| random.next().to_le_bytes()[0]));
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a usize fits");
        usize::try_from(self.next() % limit).expect("it is less than the limit")
    }

    pub(super) fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }
}
