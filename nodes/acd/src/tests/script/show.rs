//! `show ..` in golden scripts: views as lines; never asks the shard for a change.

use super::{Script, call_of, seconds};
use crate::view::{CallFilter, in_words};

impl Script {
    pub(super) fn show(&mut self, what: &[&str]) {
        match what {
            ["queue", name] => {
                let Some(queue) = self.shard.queue(name, 0) else {
                    return self.lines.push("no such queue".to_owned());
                };
                let info = &queue.info;
                self.lines.push(format!(
                    "{} waiting, {} offered, {} talking; agents {} ready, {} logged in of {}; longest {}",
                    info.waiting,
                    info.offered,
                    info.talking,
                    info.agents_ready,
                    info.agents_logged_in,
                    info.agents_total,
                    seconds(info.longest_wait_ms)
                ));
                self.lines.push(format!(
                    "so far {} offered, {} answered, {} abandoned; waited {}, talked {}",
                    info.calls_offered,
                    info.calls_answered,
                    info.calls_abandoned,
                    seconds(info.wait_ms_sum),
                    seconds(info.talk_ms_sum)
                ));
                for call in &queue.waiting {
                    let rings = if call.offered { ", an agent rings" } else { "" };
                    let waited = seconds(call.waited_ms);
                    self.lines.push(format!("{}. c{} waited {waited}{rings}", call.position, call.call));
                }
            }
            ["agent", name] => {
                let Some(agent) = self.shard.agent(name) else {
                    return self.lines.push("no such agent".to_owned());
                };
                let call = agent.call.map(|call| format!(" c{call}")).unwrap_or_default();
                let (state, reason) = (&agent.state, &agent.reason);
                let lasts = seconds(agent.in_state_ms);
                let contacts = agent.contacts.join(" ");
                let queues = agent.queues.join(" ");
                let answered = agent.calls_answered;
                self.lines.push(format!(
                    "{state} ({reason}){call} since {lasts}; queues {queues}; contacts {contacts}; answered {answered}"
                ));
            }
            ["call", call] => {
                let Some(call) = self.shard.call(call_of(call)) else {
                    return self.lines.push("no such call".to_owned());
                };
                let info = &call.info;
                let (queue, agent) = (&info.queue, &info.agent);
                let waited = seconds(info.waited_ms);
                let state = &info.state;
                self.lines.push(format!("{state} {} in {queue}, agent {agent}, waited {waited}", info.outcome));
                for leg in call.legs {
                    self.lines.push(format!("leg {} {} {}: {}", leg.leg, leg.party, leg.state, leg.wanted));
                }
            }
            ["calls"] => {
                for call in self.shard.calls(&CallFilter::default()) {
                    self.lines.push(format!("c{} {} {}", call.call, call.state, call.agent));
                }
            }
            ["orders", gateway] => {
                let life = self.lives.get(*gateway).copied().unwrap_or(1);
                for order in self.shard.standing_orders(gateway, life) {
                    self.lines.push(format!("! c{}.{} {}", order.call, order.leg, in_words(&order.want)));
                }
            }
            ["gateways"] => {
                for gateway in self.shard.gateways() {
                    let up = match (gateway.up, gateway.draining) {
                        (true, true) => "draining",
                        (true, false) => "up",
                        (false, _) => "lost",
                    };
                    self.lines
                        .push(format!("{} {up}, life {}, {} legs", gateway.id, gateway.incarnation, gateway.legs));
                }
            }
            ["version"] => self.lines.push(format!("version {}", self.shard.config_version())),
            ["senders"] => {
                for (id, sender) in &self.shard.senders.rows {
                    self.lines.push(format!("sender {id}: {} replies", sender.replies.len()));
                }
            }
            other => panic!("cannot show {other:?}"),
        }
    }
}
