//! Faults by dice: which one next, and which bad weather it happens in. The same seed throws the same dice; what the
//! machine makes of them is its own.

use super::{
    scenarios::Scenario,
    story::{Proof, Story},
};

/// Of all packets to one machine.
const WEATHER_PERCENT_MAX: u64 = 4;

/// The dice and what they choose from.
#[derive(Debug)]
pub struct Schedule {
    state: u64,
    scenarios: Vec<Scenario>,
    /// Played since the deck was last whole, so that no fault is forgotten.
    deck: Vec<Scenario>,
}

impl Schedule {
    /// The dice of this seed.
    #[must_use]
    pub fn of(seed: u64, scenarios: Vec<Scenario>) -> Self {
        Self { state: seed, scenarios, deck: Vec::new() }
    }

    /// SplitMix64.
    fn throw(&mut self, sides: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }

    fn draw(&mut self) -> Option<Scenario> {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.scenarios);
        }
        let place = self.throw(self.deck.len() as u64) as usize;
        (place < self.deck.len()).then(|| self.deck.swap_remove(place))
    }

    /// One more fault; every third time packets are lost besides.
    ///
    /// # Errors
    /// As [`Story::play`].
    pub fn play_next(&mut self, story: &mut Story) -> anyhow::Result<()> {
        let Some(scenario) = self.draw() else { return Ok(()) };
        let nodes = story.site.nodes();
        let rainy = self.throw(3) == 0;
        let wet = nodes[self.throw(nodes.len() as u64) as usize].clone();
        let percent = self.throw(WEATHER_PERCENT_MAX) + 1;
        if !rainy {
            return story.play(scenario.name, scenario.play);
        }
        story.play(scenario.name, |story| {
            story.site.net.lose(&wet, u8::try_from(percent).unwrap_or(1))?;
            let Proof(proof) = (scenario.play)(story)?;
            // The scenario may have mended this cable with its own.
            story.site.net.mend(&wet)?;
            Ok(Proof(format!("{proof}; {percent} % of what came to {wet} lost")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::scenarios::ALL;

    #[test]
    fn the_same_seed_plays_the_same_and_no_fault_is_forgotten() {
        let names = |seed| {
            let mut schedule = Schedule::of(seed, ALL.to_vec());
            (0..ALL.len()).filter_map(|_| schedule.draw().map(|scenario| scenario.name)).collect::<Vec<_>>()
        };
        let mut once = names(7);
        assert_eq!(once, names(7));
        assert_ne!(once, names(8));
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ALL.len());
    }
}
