//! Counters and gauges. Counting never allocates: every label is known beforehand.

use std::sync::atomic::AtomicI64;

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{admission::AdmissionCounts, tcp::connection::Close, trunks::Standing};

mod trunks;

use trunks::TrunkMetrics;

type Labels = [(&'static str, &'static str); 1];

/// What a leg is doing, for the gauge of legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegPhase {
    /// A caller whose shard has not decided yet.
    Offered,
    /// A caller who hears ringing.
    Alerting,
    /// Somebody whom we ring.
    Ringing,
    /// Answered, nothing to hear yet.
    Answered,
    /// Hears a prompt.
    Listening,
    /// Joined to another leg.
    Joined,
    /// Gone outside; the shard has yet to take note.
    Ended,
}

const PHASES: [(LegPhase, &str); 7] = [
    (LegPhase::Offered, "offered"),
    (LegPhase::Alerting, "alerting"),
    (LegPhase::Ringing, "ringing"),
    (LegPhase::Answered, "answered"),
    (LegPhase::Listening, "listening"),
    (LegPhase::Joined, "joined"),
    (LegPhase::Ended, "ended"),
];

/// First words of SIP messages; the last one stands for all others.
const KINDS: [&str; 15] = [
    "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "UPDATE", "1xx", "2xx", "3xx", "4xx", "5xx",
    "6xx", "other",
];
const FIRST_CLASS: usize = 8;

const TRANSPORTS: [(sip::Transport, &str); 4] = [
    (sip::Transport::Tcp, "tcp"),
    (sip::Transport::Tls, "tls"),
    (sip::Transport::Ws, "ws"),
    (sip::Transport::Wss, "wss"),
];

const CLOSES: [(Close, &str); 7] = [
    (Close::Ended, "ended"),
    (Close::Idle, "idle"),
    (Close::Slow, "slow"),
    (Close::Unreadable, "unreadable"),
    (Close::Unwritable, "unwritable"),
    (Close::Handshake, "handshake"),
    (Close::Unconnected, "unconnected"),
];

const OUTCOMES: [&str; 3] = ["accepted", "rejected", "unavailable"];

/// Everything that this process counts.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) calls_offered: Counter,
    pub(crate) calls_refused: Counter,
    pub(crate) registrations: Counter,
    pub(crate) flows_lost: Counter,
    pub(crate) egress_refused: Counter,
    pub(crate) orders: Counter,
    pub(crate) legs_lost: Counter,
    pub(crate) take_overs: Counter,
    pub(crate) legs_yielded: Counter,
    pub(crate) relayed: Counter,
    pub(crate) media_ports_missing: Counter,
    pub(crate) datagrams_dropped: Counter,
    pub(crate) link_sessions: Counter,
    pub(crate) commands_pending: Gauge<i64, AtomicI64>,
    pub(crate) admission_rate: Gauge<i64, AtomicI64>,
    pub(crate) connections_refused: Counter,
    pub(crate) certificate_reloads: Counter,
    pub(crate) certificate_failures: Counter,
    connections: [Gauge<i64, AtomicI64>; TRANSPORTS.len()],
    connections_closed: [Counter; CLOSES.len()],
    legs: [Gauge<i64, AtomicI64>; PHASES.len()],
    outcomes: [Counter; OUTCOMES.len()],
    sip_in: [Counter; KINDS.len()],
    sip_out: [Counter; KINDS.len()],
    trunks: TrunkMetrics,
    admission: [Counter; AdmissionCounts::NAMES.len()],
    media: Family<Labels, Gauge<i64, AtomicI64>>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("cordboard_gateway");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let calls_offered = counter("calls_offered", "INVITEs that were put to a shard");
        let calls_refused = counter("calls_refused", "INVITEs refused because no shard could take them");
        let registrations = counter("registrations", "Authenticated REGISTERs");
        let flows_lost = counter("flows_lost", "Contacts unbound because their connection was closed");
        let egress_refused = counter("egress_refused", "Addresses named by far ends where nothing is sent");
        let orders = counter("orders", "Orders heard from shards");
        let legs_lost = counter("legs_lost", "Legs that only one side knew, ended");
        let take_overs = counter("take_overs", "Legs of other gateways that were gone on with here");
        let legs_yielded = counter("legs_yielded", "Legs that another gateway went on with");
        let relayed = counter("relayed", "SIP messages passed on to the gateway that holds their call");
        let media_ports_missing = counter("media_ports_missing", "Legs ended because no RTP port was free");
        let datagrams_dropped = counter("datagrams_dropped", "Datagrams lost because a lane or the socket was full");
        let connections_refused = counter("sip_connections_refused", "Connections over a limit");
        let certificate_failures = counter("certificate_failures", "Changed TLS files that were refused");
        let certificate_reloads = counter("certificate_reloads", "How often changed TLS files were loaded");
        let link_sessions = counter("link_sessions", "How often a leader was found and in sync");
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let commands_pending = gauge("commands_pending", "Commands without an outcome");
        let admission_rate = gauge("admission_rate", "New requests a second that all lanes together let in at present");
        let media = Family::default();
        let trunks = TrunkMetrics::new(&mut registry);
        registry.register("media", "The media plane's own counts", media.clone());
        Self {
            calls_offered,
            calls_refused,
            registrations,
            flows_lost,
            egress_refused,
            orders,
            legs_lost,
            take_overs,
            legs_yielded,
            relayed,
            media_ports_missing,
            datagrams_dropped,
            link_sessions,
            commands_pending,
            admission_rate,
            trunks,
            connections_refused,
            certificate_reloads,
            certificate_failures,
            connections: gauges(
                &mut registry,
                "sip_connections",
                "Open connections, both directions",
                "transport",
                &TRANSPORTS.map(|(_, name)| name),
            ),
            connections_closed: counters(
                &mut registry,
                "sip_connections_closed",
                "Connections that are no more, by why",
                "reason",
                &CLOSES.map(|(_, name)| name),
            ),
            legs: gauges(&mut registry, "legs", "Legs by what they do", "phase", &PHASES.map(|(_, name)| name)),
            outcomes: counters(&mut registry, "outcomes", "Outcomes of commands", "result", &OUTCOMES),
            sip_in: counters(&mut registry, "sip_in", "SIP messages received", "kind", &KINDS),
            sip_out: counters(&mut registry, "sip_out", "SIP messages sent", "kind", &KINDS),
            admission: counters(
                &mut registry,
                "admission",
                "SIP messages by whether they were let in, and why not",
                "verdict",
                &AdmissionCounts::NAMES,
            ),
            media,
            registry,
        }
    }

    /// A leg has gone from one phase to another; `None` is before its birth and after its death.
    pub(crate) fn leg(&self, from: Option<LegPhase>, to: Option<LegPhase>) {
        for (position, (phase, _)) in PHASES.iter().enumerate() {
            let change = i64::from(Some(*phase) == to) - i64::from(Some(*phase) == from);
            if change != 0 {
                self.legs[position].inc_by(change);
            }
        }
    }

    /// A connection more, or one less.
    pub(crate) fn connection(&self, transport: sip::Transport, change: i64) {
        if let Some(position) = TRANSPORTS.iter().position(|(other, _)| *other == transport) {
            self.connections[position].inc_by(change);
        }
    }

    pub(crate) fn connection_closed(&self, why: Close) {
        if let Some(position) = CLOSES.iter().position(|(other, _)| *other == why) {
            self.connections_closed[position].inc();
        }
    }

    pub(crate) fn outcome(&self, result: &str) {
        if let Some(position) = OUTCOMES.iter().position(|name| *name == result) {
            self.outcomes[position].inc();
        }
    }

    pub(crate) fn sip_in(&self, bytes: &[u8]) {
        self.sip_in[kind(bytes)].inc();
    }

    /// All trunks as they are now.
    pub(crate) fn trunks(&self, standings: &[Standing]) {
        self.trunks.set(standings);
    }

    /// What a lane's admission has decided since it was last told.
    pub(crate) fn admission(&self, before: &AdmissionCounts, now: &AdmissionCounts) {
        for ((counter, before), now) in self.admission.iter().zip(before.all()).zip(now.all()) {
            if now > before {
                counter.inc_by(now - before);
            }
        }
    }

    pub(crate) fn sip_out(&self, bytes: &[u8]) {
        self.sip_out[kind(bytes)].inc();
    }

    /// A figure of the media plane, taken over as it stands.
    pub(crate) fn media(&self, name: &'static str, value: u64) {
        self.media.get_or_create(&[("count", name)]).set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn counters<const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: &[&'static str; N],
) -> [Counter; N] {
    let family = Family::<Labels, Counter>::default();
    registry.register(name, help, family.clone());
    values.map(|value| family.get_or_create(&[(label, value)]).clone())
}

fn gauges<const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: &[&'static str; N],
) -> [Gauge<i64, AtomicI64>; N] {
    let family = Family::<Labels, Gauge<i64, AtomicI64>>::default();
    registry.register(name, help, family.clone());
    values.map(|value| family.get_or_create(&[(label, value)]).clone())
}

/// Position in `KINDS`.
fn kind(bytes: &[u8]) -> usize {
    let other = KINDS.len() - 1;
    if let Some(status) = bytes.strip_prefix(b"SIP/2.0 ") {
        return match status.first() {
            Some(class @ b'1'..=b'6') => FIRST_CLASS + usize::from(class - b'1'),
            _ => other,
        };
    }
    KINDS[..FIRST_CLASS]
        .iter()
        .position(|method| bytes.starts_with(method.as_bytes()) && bytes.get(method.len()) == Some(&b' '))
        .unwrap_or(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_by_method_and_class() {
        let metrics = Metrics::new();
        metrics.sip_in(b"INVITE sip:x SIP/2.0\r\n");
        metrics.sip_in(b"INVITED sip:x SIP/2.0\r\n");
        metrics.sip_out(b"SIP/2.0 180 Ringing\r\n");
        metrics.sip_out(b"SIP/2.0 ");
        let text = metrics.text();
        assert!(text.contains(r#"cordboard_gateway_sip_in_total{kind="INVITE"} 1"#), "{text}");
        assert!(text.contains(r#"cordboard_gateway_sip_in_total{kind="other"} 1"#), "{text}");
        assert!(text.contains(r#"cordboard_gateway_sip_out_total{kind="1xx"} 1"#), "{text}");
    }

    #[test]
    fn the_gauge_of_legs_follows_each_leg() {
        let metrics = Metrics::new();
        metrics.leg(None, Some(LegPhase::Offered));
        metrics.leg(Some(LegPhase::Offered), Some(LegPhase::Listening));
        assert!(metrics.text().contains(r#"{phase="listening"} 1"#));
        metrics.leg(Some(LegPhase::Listening), None);
        assert!(metrics.text().contains(r#"{phase="listening"} 0"#));
    }
}
