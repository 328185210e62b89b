//! The language of golden scripts: one command a line, what followed indented below it.
//!
//! Documents: see `script/documents.rs`. `offer c1`, `answer c1.2`, `end c1.1 hangup` are a gateway's reports. `hold c1 a1`,
//! `transfer c1 a1 agent:a2` and the like are an agent's wishes. `wait 20s` lets the leader's clock run, each deadline on
//! time; `jump 20s` makes it late; `outage 20s` is a time without a leader. `again` sends the last entry once more.
//! `restart` goes through a snapshot. `show ..` looks.

mod documents;
mod show;

use std::collections::BTreeMap;

use crate::view::in_words;
use crate::*;

pub(super) struct Script {
    shard: Shard,
    clock: u64,
    number: u64,
    version: u64,
    documents: BTreeMap<String, Document>,
    lives: BTreeMap<String, u64>,
    last: Option<Entry>,
    lines: Vec<String>,
}

const START: u64 = 1_000_000_000;

impl Script {
    pub(super) fn new() -> Self {
        let limits = Limits { contacts_per_agent_max: 2, calls_max: 20, senders_max: 3, ..Limits::default() };
        Script {
            shard: Shard::with_limits(limits),
            clock: START,
            number: 0,
            version: 0,
            documents: BTreeMap::new(),
            lives: BTreeMap::new(),
            last: None,
            lines: Vec::new(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.shard.limits.clone()
    }

    pub(super) fn save(&self) -> Vec<u8> {
        self.shard.save()
    }

    /// Goes on with this shard.
    pub(super) fn put_shard(&mut self, shard: Shard) {
        self.shard = shard;
    }

    /// Does one line and gives what followed.
    pub(super) fn line(&mut self, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (words, settings) = split_settings(&words);
        let setting = |name: &str| settings.get(name).copied().unwrap_or_default();
        if self.edit(&words, &settings) {
            return Vec::new();
        }
        match words.as_slice() {
            ["configure"] => {
                self.version += 1;
                self.configure(self.version);
            }
            ["configure", version] => self.configure(version.parse().expect("a version")),
            ["attach", gateway] => {
                let life = setting("life").parse().unwrap_or(1);
                self.lives.insert((*gateway).to_owned(), life);
                let (gateway, sip) = ((*gateway).to_owned(), format!("{gateway}:5060"));
                self.send(Command::AttachGateway { gateway, incarnation: life, sip });
            }
            ["lose", gateway] => {
                let incarnation = setting("life").parse().unwrap_or_else(|_| self.lives[*gateway]);
                self.send(Command::LoseGateway { gateway: (*gateway).to_owned(), incarnation });
            }
            ["offer", call] => self.offer(call, &settings),
            ["answer", leg] => {
                let (call, leg) = leg_of(leg);
                let tenure = self.tenure(&settings);
                self.send(Command::AnswerLeg { call, leg, passport: b"passport".to_vec(), tenure });
            }
            ["confirm", leg] => {
                let (call, leg) = leg_of(leg);
                let tenure = self.tenure(&settings);
                self.send(Command::ConfirmLeg { call, leg, passport: b"passport".to_vec(), tenure });
            }
            ["end", leg, cause] => {
                let (call, leg) = leg_of(leg);
                let tenure = self.tenure(&settings);
                let moved_to = setting("to").split(',').filter(|place| !place.is_empty()).map(str::to_owned).collect();
                self.send(Command::EndLeg { call, leg, cause: cause_of(cause), sip_status: 0, tenure, moved_to });
            }
            ["press", leg, digits] => {
                let (call, leg) = leg_of(leg);
                let tenure = self.tenure(&settings);
                self.send(Command::PressDigits { call, leg, digits: (*digits).to_owned(), tenure });
            }
            ["clear", call] => self.send(Command::ClearCall { call: call_of(call), by: setting("by").to_owned() }),
            ["register", agent, contact, expires] => self.send(Command::RegisterContact {
                agent: (*agent).to_owned(),
                contact: (*contact).to_owned(),
                expires_seconds: (milliseconds(expires) / 1000) as u32,
                gateway: settings.get("via").copied().unwrap_or("g1").to_owned(),
                path: setting("path").to_owned(),
                flow: settings.contains_key("flow"),
            }),
            ["login", agent] => self.send(Command::LogInAgent { agent: (*agent).to_owned() }),
            ["logout", agent] => self.send(Command::LogOutAgent { agent: (*agent).to_owned() }),
            ["ready", agent] => self.send(Command::MakeAgentReady { agent: (*agent).to_owned() }),
            ["not-ready", agent, reason] => {
                let (agent, reason) = ((*agent).to_owned(), (*reason).to_owned());
                self.send(Command::MakeAgentNotReady { agent, reason });
            }
            ["extend", agent, time] => {
                let seconds = (milliseconds(time) / 1000) as u32;
                self.send(Command::ExtendWrapUp { agent: (*agent).to_owned(), seconds });
            }
            ["pull", call, agent] => self.send(Command::PullCall {
                call: call_of(call),
                agent: (*agent).to_owned(),
                by: setting("by").to_owned(),
            }),
            ["choose", call, ask, agents @ ..] => self.send(Command::ChooseAgents {
                call: call_of(call),
                ask: ask.parse().expect("the number of an ask"),
                agents: agents.iter().map(|agent| (*agent).to_owned()).collect(),
            }),
            ["change", call] => self.send(Command::ChangeCall {
                call: call_of(call),
                priority: setting("priority").parse().unwrap_or(0),
                boost_seconds: settings.get("boost").map_or(0, |time| (milliseconds(time) / 1000) as u32),
                move_to: setting("move-to").to_owned(),
                by: setting("by").to_owned(),
            }),
            ["transfer", call, agent, to] => self.send(Command::TransferCall {
                call: call_of(call),
                agent: (*agent).to_owned(),
                target: documents::target(to),
            }),
            ["consult", call, agent, to] => self.send(Command::ConsultCall {
                call: call_of(call),
                agent: (*agent).to_owned(),
                target: documents::target(to),
            }),
            [word @ ("hold" | "resume" | "complete" | "swap" | "conference" | "take-back" | "leave"), call, agent] => {
                let control = match *word {
                    "hold" => CallControl::Hold,
                    "resume" => CallControl::Resume,
                    "complete" => CallControl::Complete,
                    "swap" => CallControl::Swap,
                    "conference" => CallControl::Conference,
                    "take-back" => CallControl::TakeBack,
                    _ => CallControl::Leave,
                };
                self.send(Command::ControlCall { call: call_of(call), agent: (*agent).to_owned(), control });
            }
            ["refer", leg, to] => {
                let ((call, leg), tenure) = (leg_of(leg), self.tenure(&settings));
                let (target, replaces) = (documents::target(to), setting("replaces").to_owned());
                self.send(Command::ReferLeg { call, leg, tenure, target, replaces });
            }
            [word @ ("phone-holds" | "phone-resumes"), leg] => {
                let ((call, leg), tenure) = (leg_of(leg), self.tenure(&settings));
                self.send(Command::HoldLeg { call, leg, tenure, held: *word == "phone-holds" });
            }
            [word @ ("drain" | "undrain"), gateway] => self.send(Command::DrainGateway {
                gateway: (*gateway).to_owned(),
                incarnation: setting("life").parse().unwrap_or(0),
                undo: *word == "undrain",
                by: setting("by").to_owned(),
            }),
            ["callback", call] => {
                let number = setting("number").to_owned();
                self.send(Command::RequestCallback { call: call_of(call), number });
            }
            ["cancel-callback", call] => {
                self.send(Command::CancelCallback { call: call_of(call), by: setting("by").to_owned() });
            }
            ["rules", version] => self.send(Command::SetRules { version: version.parse().expect("a version") }),
            ["wait", time] => self.wait(milliseconds(time)),
            ["jump", time] => {
                self.clock += milliseconds(time);
                self.tick();
            }
            ["back", time] => {
                self.clock -= milliseconds(time);
                self.tick();
            }
            ["outage", time] => {
                self.clock += milliseconds(time);
                let (id, command) = (CommandId::default(), Command::TakeLead);
                self.apply(Entry { at: self.clock, id, settled_below: 0, trace: None, command });
            }
            ["again"] => {
                let entry = self.last.clone().expect("something was sent");
                self.apply(entry);
            }
            ["sender", sender, number] => {
                // Another sender's command that concerns nobody.
                let id = CommandId { sender: sender.parse().expect("id"), number: number.parse().expect("number") };
                let settled_below = setting("settled").parse().unwrap_or(0);
                let command = Command::AdvanceClock;
                self.apply(Entry { at: self.clock, id, settled_below, trace: None, command });
            }
            ["restart"] => {
                let limits = self.shard.limits.clone();
                let restored = Shard::restore_with_limits(&self.shard.save(), limits).expect("was just saved");
                assert_eq!(restored.hash(), self.shard.hash());
                self.shard = restored;
            }
            ["show", what @ ..] => self.show(what),
            other => panic!("no such command: {other:?}"),
        }
        std::mem::take(&mut self.lines)
    }

    /// 0, as from a gateway that knows none, unless the script says one.
    fn tenure(&self, settings: &BTreeMap<&str, &str>) -> u32 {
        settings.get("tenure").map_or(0, |tenure| tenure.parse().expect("a tenure"))
    }

    fn send(&mut self, command: Command) {
        self.send_traced(command, None);
    }

    fn send_traced(&mut self, command: Command, trace: Option<String>) {
        self.number += 1;
        let id = CommandId { sender: 1, number: self.number };
        let settled_below = self.number.saturating_sub(5);
        let entry = Entry { at: self.clock, id, settled_below, trace, command };
        self.last = Some(entry.clone());
        self.apply(entry);
    }

    fn tick(&mut self) {
        let (id, command) = (CommandId::default(), Command::AdvanceClock);
        self.apply(Entry { at: self.clock, id, settled_below: 0, trace: None, command });
    }

    fn wait(&mut self, ms: u64) {
        let end = self.clock + ms;
        while let Some(due) = self.shard.next_deadline().filter(|due| *due <= end) {
            self.clock = due.max(self.clock);
            self.tick();
        }
        self.clock = end;
        self.tick();
    }

    fn apply(&mut self, entry: Entry) {
        let mut out = Output::default();
        let reply = self.shard.apply(entry, &mut out);
        if let Err(audit) = self.shard.audit() {
            panic!("{audit}");
        }
        if let Err(Rejection { code, detail }) = reply {
            self.lines.push(format!("refused: {code:?}, {detail}"));
        }
        for record in out.records {
            self.lines.push(self.in_line(&record));
        }
        for ask in out.asks {
            let candidates: Vec<String> = ask.candidates.iter().map(|candidate| candidate.agent.to_string()).collect();
            let (number, call, endpoint) = (ask.ask, ask.call, &ask.endpoint);
            self.lines.push(format!("ask {number} for c{call} at {endpoint}: {}", candidates.join(", ")));
        }
        for (gateway, order) in out.orders {
            let trace = order.trace.map(|trace| format!(" [{trace}]")).unwrap_or_default();
            let at = if &*gateway == "g1" { String::new() } else { format!(" on {gateway}") };
            let history = match &order.want {
                Want::Ring(ring) if self.shard.rules >= 3 && !ring.history.is_empty() => {
                    format!(" after {}", ring.history.join(" "))
                }
                _ => String::new(),
            };
            let tenure = if order.tenure > 1 { format!(" tenure {}", order.tenure) } else { String::new() };
            let takeover = order.takeover.map(|takeover| taken_over(&takeover)).unwrap_or_default();
            let want = in_words(&order.want);
            self.lines.push(format!("! c{}.{} {want}{history}{at}{tenure}{takeover}{trace}", order.call, order.leg));
        }
    }

    fn in_line(&self, record: &Record) -> String {
        match &record.kind {
            RecordKind::Agent(change) => {
                let call = if change.call == 0 { String::new() } else { format!(" for c{}", change.call) };
                let reason = if change.reason.is_empty() { String::new() } else { format!(" ({})", change.reason) };
                let until = self.shard.agent_names.get(&change.agent).and_then(|key| {
                    let agent = &self.shard.agents[*key];
                    let rings = agent.work.iter().find_map(|work| match &self.shard.calls[work.call].state {
                        crate::rows::CallState::Offered(offer) => Some(offer.until),
                        crate::rows::CallState::Moving(moving) => Some(moving.until),
                        crate::rows::CallState::Calling { until, .. } => Some(*until),
                        _ => None,
                    });
                    let until = if change.to == "reserved" { rings } else { agent.until() };
                    until.filter(|_| agent.state.name() == change.to)
                });
                let until = until.map(|until| format!(" until {}", seconds(until - START))).unwrap_or_default();
                let spent = seconds(change.spent_ms);
                format!("{} {} -> {}{reason}{call}{until}, after {spent}", change.agent, change.from, change.to)
            }
            RecordKind::Call(call) => {
                let agent = if call.agent.is_empty() { String::new() } else { format!(" with {}", call.agent) };
                let answered = if call.answered_ms == 0 { call.ended_ms } else { call.answered_ms };
                let (waited, talked) = (answered - call.offered_ms, call.ended_ms - answered);
                format!(
                    "c{} {} by {}{agent}: waited {}, talked {}, offers {}",
                    call.call,
                    call.outcome.name(),
                    call.ended_by,
                    seconds(waited),
                    seconds(talked),
                    call.offers
                )
            }
            RecordKind::Decision(decision) => {
                let candidates: Vec<String> = decision
                    .candidates
                    .iter()
                    .map(|candidate| match decision.strategy {
                        "longest-idle" | "ring-all" | "progressive" | "external" | "random" | "weighted-random" => {
                            format!("{} idle {}", candidate.agent, seconds(candidate.figure))
                        }
                        "least-talk" => format!("{} talked {}", candidate.agent, seconds(candidate.figure)),
                        _ => format!("{} {}", candidate.agent, candidate.figure),
                    })
                    .collect();
                let mut line = format!("? c{} to {} of {}", decision.call, decision.chosen, candidates.join(", "));
                if decision.candidates_total as usize > candidates.len() {
                    line += &format!(" and {} more", decision.candidates_total as usize - candidates.len());
                }
                for exclusion in &decision.exclusions {
                    line += &format!("; not {} {}", exclusion.agents, exclusion.reason);
                }
                let tie = if decision.tie_break.is_empty() { "" } else { "; tie: " };
                if !decision.also.is_empty() {
                    line += &format!("; also {}", decision.also.join(" "));
                }
                if !decision.skills.is_empty() {
                    line += &format!("; asks {}", decision.skills);
                }
                if decision.position > 1 {
                    line += &format!("; position {}", decision.position);
                }
                if !decision.cause.is_empty() {
                    line += &format!("; {}", decision.cause);
                }
                format!("{line}; waited {}{tie}{}", seconds(decision.waited_ms), decision.tie_break)
            }
            RecordKind::Interval(interval) => {
                let counts = &interval.counts;
                format!(
                    "counted {} {}: {} offered, {} answered, {} abandoned, {} within, {} overflowed",
                    interval.subject,
                    interval.name,
                    counts.offered,
                    counts.answered,
                    counts.abandoned,
                    counts.within_threshold,
                    counts.overflowed
                )
            }
            RecordKind::Transfer(transfer) => {
                let by = if transfer.agent.is_empty() { String::new() } else { format!(" by {}", transfer.agent) };
                let to = if transfer.target.is_empty() { String::new() } else { format!(" to {}", transfer.target) };
                format!("c{} {}{by}{to}: {}", transfer.call, transfer.kind, transfer.result)
            }
        }
    }

    fn offer(&mut self, call: &str, settings: &BTreeMap<&str, &str>) {
        let gateway = settings.get("via").copied().unwrap_or("g1").to_owned();
        let own_life = self.lives.get(&gateway).copied().unwrap_or(1);
        let command = Command::OfferCall {
            call: call_of(call),
            incarnation: settings.get("life").map_or(own_life, |life| life.parse().expect("a life")),
            gateway,
            number: settings.get("to").copied().unwrap_or("5000").to_owned(),
            caller: settings.get("from").copied().unwrap_or("+49").to_owned(),
            caller_name: String::new(),
            passport: settings.get("passport").map(|passport| passport.as_bytes().to_vec()).unwrap_or_default(),
        };
        self.send_traced(command, settings.get("trace").map(|trace| (*trace).to_owned()));
    }

    fn configure(&mut self, version: u64) {
        // Queues first, then agents in the order of their names, as a directory sends them.
        let mut documents: Vec<Document> = self.documents.values().cloned().collect();
        documents.sort_by_key(|document| matches!(document, Document::Agent(_)));
        let (id, command) = (CommandId::default(), Command::Configure { version, documents });
        self.apply(Entry { at: self.clock, id, settled_below: 0, trace: None, command });
    }
}

/// What a gateway is told of a leg that another one had.
fn taken_over(takeover: &Takeover) -> String {
    let passport = match takeover.passport.as_slice() {
        [] => "nothing".to_owned(),
        bytes => String::from_utf8_lossy(bytes).into_owned(),
    };
    let rang = takeover.rang.as_ref().map(|rang| format!(", take back: {}", in_words(rang))).unwrap_or_default();
    format!(" (from {} with {passport}{rang})", takeover.former_sip)
}

fn split_settings<'a>(words: &[&'a str]) -> (Vec<&'a str>, BTreeMap<&'a str, &'a str>) {
    let (settings, words): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.contains('=') && !word.starts_with("sip:"));
    (words, settings.into_iter().filter_map(|setting| setting.split_once('=')).collect())
}

fn call_of(word: &str) -> CallId {
    word.trim_start_matches('c').parse().expect("a call such as c1")
}

fn leg_of(word: &str) -> (CallId, u32) {
    let (call, leg) = word.split_once('.').expect("a leg such as c1.2");
    (call_of(call), leg.parse().expect("a leg number"))
}

fn cause_of(word: &str) -> EndCause {
    match word {
        "hangup" => EndCause::Hangup,
        "cancelled" => EndCause::Cancelled,
        "busy" => EndCause::Busy,
        "rejected" => EndCause::Rejected,
        "no-answer" => EndCause::NoAnswer,
        "unreachable" => EndCause::Unreachable,
        "media" => EndCause::Media,
        "ordered" => EndCause::Ordered,
        "failed" => EndCause::Failed,
        "lost" => EndCause::Lost,
        "moved" => EndCause::Moved,
        other => panic!("no such cause: {other}"),
    }
}

fn milliseconds(word: &str) -> u64 {
    match word.strip_suffix("ms") {
        Some(ms) => ms.parse().expect("milliseconds"),
        None => word.trim_end_matches('s').parse::<u64>().expect("seconds") * 1000,
    }
}

fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}
