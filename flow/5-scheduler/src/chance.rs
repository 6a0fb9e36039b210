//! Chance that can be repeated. Promise: the same seed gives the same numbers. Not for secrets.

/// A small generator (the mixing steps are those of SplitMix64, which is in the public domain).
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `most`, both included, all as likely to within one in 2^64 / `most`.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        let wide = (u128::from(self.next()) * (u128::from(most) + 1)) >> 64;
        u64::try_from(wide).unwrap_or(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_both_ends_come_up() {
        let (mut one, mut two, mut other) = (Chance::new(7), Chance::new(7), Chance::new(8));
        let first: Vec<u64> = (0..1_000).map(|_| one.up_to(9)).collect();
        let second: Vec<u64> = (0..1_000).map(|_| two.up_to(9)).collect();
        let third: Vec<u64> = (0..1_000).map(|_| other.up_to(9)).collect();
        assert_eq!(first, second);
        assert_ne!(first, third);
        for number in 0..=9 {
            assert!(first.iter().filter(|n| **n == number).count() > 50, "{number} is as likely as the others");
        }
        assert!(first.iter().all(|n| *n <= 9));
        assert_eq!(one.up_to(0), 0);
    }
}
