//! The order of equals by weight, as RFC 2782 has it for SRV. Pure: the dice come in.

/// Dice that roll the same for the same seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 0 to `most`, both included. Its tiny bias does not matter here.
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        mixed % most.saturating_add(1).max(1)
    }
}

/// By priority, lower first; among equals each is as likely to be next as its share of the weight.
pub(super) fn in_order<'a, T>(
    items: impl IntoIterator<Item = &'a T>,
    dice: &mut Dice,
    rank: impl Fn(&T) -> (u32, u32),
) -> Vec<&'a T> {
    let mut left: Vec<(u32, u64, &T)> = items
        .into_iter()
        .map(|item| {
            let (priority, weight) = rank(item);
            (priority, u64::from(weight), item)
        })
        .collect();
    left.sort_by_key(|(priority, weight, _)| (*priority, *weight));
    let mut order = Vec::with_capacity(left.len());
    while let Some(&(priority, lightest, _)) = left.first() {
        let equals = left.iter().take_while(|item| item.0 == priority).count();
        let sum: u64 = left[..equals].iter().map(|item| item.1).sum();
        let at = if sum == 0 {
            dice.up_to(equals as u64 - 1).try_into().unwrap_or(0)
        } else {
            // RFC 2782: those without weight stand first, and are taken when the dice say 0.
            let rolled = if lightest == 0 { dice.up_to(sum) } else { 1 + dice.up_to(sum - 1) };
            reached(left[..equals].iter().map(|item| item.1), rolled)
        };
        order.push(left.remove(at).2);
    }
    order
}

/// The first at which the running sum is no less than what was rolled.
fn reached(weights: impl Iterator<Item = u64>, rolled: u64) -> usize {
    let sums = weights.scan(0, |sum, weight| {
        *sum += weight;
        Some(*sum)
    });
    sums.take_while(|sum| *sum < rolled).count()
}
