//! What calls ask for, each different demand once; never who has it.

use std::collections::BTreeMap;

use crate::Name;
use crate::policy::Asked;
use crate::rows::Agent;

/// Demands by key. Key 0 asks nothing.
#[derive(Clone, Debug)]
pub(crate) struct Demands {
    rows: Vec<Demand>,
    keys: BTreeMap<Vec<Asked>, u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// Rising by skill, each once.
    pub(crate) asked: Vec<Asked>,
    /// For people: `billing:1 english:50`.
    pub(crate) text: Name,
}

impl Demands {
    pub(crate) fn new() -> Self {
        let nothing = Demand { asked: Vec::new(), text: "".into() };
        Demands { rows: vec![nothing], keys: BTreeMap::from([(Vec::new(), 0)]) }
    }

    pub(crate) fn get(&self, key: u32) -> &Demand {
        &self.rows[key as usize]
    }

    /// The key of a demand, and whether it is a new one.
    pub(crate) fn key(&mut self, asked: &[Asked], skills: &[Name]) -> (u32, bool) {
        if let Some(key) = self.keys.get(asked) {
            return (*key, false);
        }
        let words: Vec<String> =
            asked.iter().map(|(skill, level)| format!("{}:{level}", skills[usize::from(*skill)])).collect();
        let key = self.rows.len() as u32;
        self.rows.push(Demand { asked: asked.to_vec(), text: words.join(" ").into() });
        self.keys.insert(asked.to_vec(), key);
        (key, true)
    }

    /// Which demands these skills meet, a bit each.
    pub(crate) fn met_by(&self, skills: &[Asked]) -> Vec<u64> {
        let mut bits = vec![0; self.rows.len().div_ceil(64)];
        for (key, demand) in self.rows.iter().enumerate() {
            if meets(skills, &demand.asked) {
                bits[key / 64] |= 1 << (key % 64);
            }
        }
        bits
    }
}

/// Whether someone with these skills has all that is asked.
pub(crate) fn meets(skills: &[Asked], asked: &[Asked]) -> bool {
    asked.iter().all(|(skill, level)| level_of(skills, *skill) >= *level)
}

/// 0 is none.
pub(crate) fn level_of(skills: &[Asked], skill: u16) -> u8 {
    skills.binary_search_by_key(&skill, |(skill, _)| *skill).map_or(0, |index| skills[index].1)
}

/// The sum of levels over the asked skills.
pub(crate) fn sum_of_levels(agent: &Agent, asked: &[Asked]) -> u64 {
    asked.iter().map(|(skill, _)| u64::from(level_of(&agent.policy.skills, *skill))).sum()
}

/// Both demands in one: of a skill asked twice the higher level.
pub(crate) fn both(one: &[Asked], other: &[Asked]) -> Vec<Asked> {
    let mut all: BTreeMap<u16, u8> = one.iter().copied().collect();
    for (skill, level) in other {
        let asked = all.entry(*skill).or_default();
        *asked = (*asked).max(*level);
    }
    all.into_iter().collect()
}
