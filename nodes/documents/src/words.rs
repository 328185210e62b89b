//! The words of documents and the enum values they stand for. Knows no field.

use proto::v1::{
    AnnouncementKind, AnswerMode, ClosingPolicy, ForwardWhen, IdleSince, Presentation, ProgressiveMode, RonaPolicy,
    SipTransport, StartState, Strategy,
};

/// Every strategy; the single ones first.
pub(super) const STRATEGIES: [(&str, Strategy); 12] = [
    ("longest-idle", Strategy::LongestIdle),
    ("round-robin", Strategy::RoundRobin),
    ("linear", Strategy::Linear),
    ("fewest-calls", Strategy::FewestCalls),
    ("least-talk", Strategy::LeastTalk),
    ("least-occupied", Strategy::LeastOccupied),
    ("most-skilled", Strategy::MostSkilled),
    ("random", Strategy::Random),
    ("weighted-random", Strategy::WeightedRandom),
    ("ring-all", Strategy::RingAll),
    ("progressive", Strategy::Progressive),
    ("external", Strategy::External),
];
/// Strategies that rank single agents, so may be an `order`.
pub(super) const SINGLE: usize = 9;
pub(super) const ANSWERS: [(&str, AnswerMode); 2] =
    [("on-entry", AnswerMode::OnEntry), ("on-agent", AnswerMode::OnAgent)];
pub(super) const IDLE: [(&str, IdleSince); 2] = [("ready", IdleSince::Ready), ("last-call", IdleSince::LastCall)];
pub(super) const RONA: [(&str, RonaPolicy); 2] =
    [("not-ready", RonaPolicy::NotReady), ("stay-ready", RonaPolicy::StayReady)];
pub(super) const PROGRESSIVE: [(&str, ProgressiveMode); 2] =
    [("cumulative", ProgressiveMode::Cumulative), ("replace", ProgressiveMode::Replace)];
pub(super) const CLOSING: [(&str, ClosingPolicy); 2] = [("stay", ClosingPolicy::Stay), ("go", ClosingPolicy::Go)];
pub(super) const SAID: [(&str, AnnouncementKind); 3] = [
    ("prompt", AnnouncementKind::Prompt),
    ("position", AnnouncementKind::Position),
    ("estimate", AnnouncementKind::Estimate),
];
pub(super) const STARTS: [(&str, StartState); 3] =
    [("ready", StartState::Ready), ("not-ready", StartState::NotReady), ("logged-out", StartState::LoggedOut)];
pub(super) const FORWARDS: [(&str, ForwardWhen); 4] = [
    ("always", ForwardWhen::Always),
    ("busy", ForwardWhen::Busy),
    ("no-answer", ForwardWhen::NoAnswer),
    ("unreachable", ForwardWhen::Unreachable),
];
pub(super) const PRESENTATIONS: [(&str, Presentation); 3] =
    [("caller", Presentation::Caller), ("company", Presentation::Company), ("hidden", Presentation::Hidden)];

pub(super) const TRANSPORTS: [(&str, SipTransport); 3] =
    [("udp", SipTransport::Udp), ("tcp", SipTransport::Tcp), ("tls", SipTransport::Tls)];
/// The codecs that calls can be carried in.
pub(super) const CODECS: [&str; 2] = ["pcmu", "pcma"];

/// The word for a value. An unspecified one, which `parse` never makes, is not a word: applying it says so.
pub(super) fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("unspecified", |(word, _)| word)
}
