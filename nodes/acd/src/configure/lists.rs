//! Lists that are built from the rows: members in their order, staff, pools, calls in line. Never changes a row that is saved but for
//! the members' order and round robin's place in it.

use std::collections::BTreeMap;

use crate::demand::Demands;
use crate::rows::{CallState, Class, Pool, TIERS};
use crate::shard::Shard;
use crate::table::{AgentKey, QueueKey};

impl Shard {
    /// Members in their order, counts of staff and pools of the available, from the rows; throws of the dice are new.
    pub(crate) fn build_pools(&mut self) {
        self.build_members();
        let mut demands = std::mem::replace(&mut self.demands, Demands::new());
        for call in 0..self.calls.slots() {
            let Some(call) = self.calls.get_mut(crate::table::Key::from_slot(call)) else { continue };
            if let Some(line) = call.line.as_deref_mut() {
                let (key, _) = self.demands.key(&demands.get(line.demand).asked, &self.skills);
                line.demand = key;
            }
        }
        demands = self.demands.clone();
        for key in self.agents.keys() {
            let agent = &mut self.agents[key];
            agent.seats.clear();
            agent.able = demands.met_by(&agent.policy.skills);
            if agent.available() {
                self.fresh.agents.push(key);
            }
        }
        for key in self.queues.keys() {
            let queue = &mut self.queues[key];
            queue.pools = vec![Pool { demand: 0, luck: 0, ready: BTreeMap::new() }];
        }
        self.relist_calls();
    }

    /// Members in their order and counts of staff, from the rows.
    pub(crate) fn build_members(&mut self) {
        let mut by_queue: BTreeMap<QueueKey, Vec<(u8, u8, crate::Name, AgentKey)>> = BTreeMap::new();
        for (key, agent) in self.agents.iter() {
            for member in &agent.members {
                let order = (member.tier, 255 - member.weight, agent.name.clone(), key);
                by_queue.entry(member.queue).or_default().push(order);
            }
        }
        for key in self.queues.keys() {
            let mut order = by_queue.remove(&key).unwrap_or_default();
            order.sort_unstable();
            let members: Vec<AgentKey> = order.iter().map(|(.., agent)| *agent).collect();
            let row = &mut self.queues[key];
            if let Some(last) = row.cursor
                && !row.members.is_empty()
            {
                // Round robin goes on after who was last, or after the one before who is still a member.
                let former = row.members.iter().take(last as usize + 1).rev();
                let mut still = former.filter_map(|agent| members.iter().position(|member| member == agent));
                row.cursor = still.next().map(|at| at as u32);
            }
            row.members = members;
            self.queues[key].staff = [[0; Class::COUNT]; TIERS];
            for (index, (tier, _, _, agent)) in order.into_iter().enumerate() {
                let agent = &mut self.agents[agent];
                let class = agent.class();
                if let Some(member) = agent.members.iter_mut().find(|member| member.queue == key) {
                    member.order = index as u32;
                }
                self.queues[key].staff[usize::from(tier)][class as usize] += 1;
            }
        }
    }

    /// Puts all calls in line into the lists of their queues, from the rows.
    pub(crate) fn relist_calls(&mut self) {
        for key in self.queues.keys() {
            self.queues[key].classes.clear();
            self.queues[key].offered.clear();
        }
        for key in self.agents.keys() {
            self.agents[key].own.clear();
        }
        for key in self.calls.keys() {
            match self.calls[key].state {
                CallState::Waiting if self.calls[key].line.is_some() => self.stand_in_line(key),
                CallState::Asking { .. } | CallState::Offered(_) | CallState::Calling { .. } => self.keep_place(key),
                _ => {}
            }
        }
    }
}
