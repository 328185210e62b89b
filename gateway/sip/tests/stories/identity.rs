//! Who calls, as it is read and as it is shown; and calls that come back to where they began.

use sip::{Effect, Identity, Invite, LegId};

use super::peer::*;

const LEG: LegId = LegId { shard: 1, call: 77, leg: 2 };

fn sent(invite: Invite) -> String {
    let mut desk = desk();
    desk.endpoint.invite(desk.now, LEG, invite);
    desk.drain();
    desk.says("INVITE ")
}

#[track_caller]
fn offered(desk: &mut Desk, more: &str, from: &str) -> (String, String, bool) {
    desk.hear(&invite_with(more, OFFER).replace("\"Ann\" <sip:491234@192.0.2.77>", from));
    desk.says("SIP/2.0 100");
    match desk.tells() {
        Effect::Offered { caller, caller_name, hidden, .. } => (caller, caller_name, hidden),
        other => panic!("wanted an offer, got {other:?}"),
    }
}

#[test]
fn only_a_trusted_trunk_says_who_calls() {
    let more = "P-Asserted-Identity: \"Real\" <sip:4999@192.0.2.77>, <tel:+494999>\n";
    let from = "\"Ann\" <sip:491234@192.0.2.77>";
    assert_eq!(offered(&mut desk(), more, from), ("491234".into(), "Ann".into(), false));
    let mut trusted = desk();
    trusted.from = udp(TRUSTED);
    assert_eq!(offered(&mut trusted, more, from), ("4999".into(), "Real".into(), false));
    let mut hidden = desk();
    hidden.from = udp(TRUSTED);
    let anonymous = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    assert_eq!(offered(&mut hidden, &format!("{more}Privacy: critical;id\n"), anonymous).0, "4999");
    assert_eq!(offered(&mut desk(), more, anonymous), (String::new(), String::new(), true));
    assert_eq!(offered(&mut desk(), "Privacy: id\n", from), ("491234".into(), "Ann".into(), true));
}

#[test]
fn a_name_cannot_turn_the_line_round_or_colour_the_terminal() {
    let from = "\"A\u{1b}[31m\u{202e}n\u{2066}\u{200b}n\u{0085}\" <sip:49%0d%0a1%1b2@192.0.2.77>";
    let (caller, name, _) = offered(&mut desk(), "", from);
    assert_eq!((caller.as_str(), name.as_str()), ("4912", "A[31mnn"));
}

#[test]
fn what_is_shown_is_what_was_asked() {
    let plain = sent(invite_to("sip:bob@192.0.2.50:5070"));
    assert!(field(&plain, "From").starts_with("\"Ann \\\"A\\\" \\\\ B\" <sip:491234@192.0.2.1:5060>;tag="));
    for name in ["P-Asserted-Identity", "Privacy", "History-Info", "Diversion", "Replaces"] {
        assert_eq!(field(&plain, name), "", "{name}");
    }
    let hidden =
        sent(Invite { identity: Identity { asserted: false, hidden: true }, ..invite_to("sip:bob@192.0.2.50:5070") });
    assert!(!hidden.contains("491234") && !hidden.contains("Ann"), "{hidden}");
    assert!(field(&hidden, "From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="));
    assert_eq!(field(&hidden, "Privacy"), "id");
    let trunk = sent(Invite {
        identity: Identity { asserted: true, hidden: true },
        domain: "trunk.example".into(),
        max_forwards: 20,
        history: vec!["5000".into(), "sip:bob@192.0.2.9".into(), "x\r\nEvil: 1".into()],
        diversion: true,
        replaces: "c1@h;to-tag=a;from-tag=b".into(),
        ..invite_to("sip:+4930123@192.0.2.50:5070")
    });
    assert!(trunk.starts_with("INVITE sip:+4930123@trunk.example SIP/2.0\r\n"));
    assert_eq!(field(&trunk, "To"), "<sip:+4930123@trunk.example>");
    assert_eq!(field(&trunk, "P-Asserted-Identity"), "\"Ann \\\"A\\\" \\\\ B\" <sip:491234@trunk.example>");
    assert_eq!(field(&trunk, "Max-Forwards"), "20");
    assert_eq!(field(&trunk, "Replaces"), "c1@h;to-tag=a;from-tag=b");
    let of = |name: &str| {
        let start = format!("{name}: ");
        trunk.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        of("History-Info"),
        [
            "<sip:5000@trunk.example>;index=1",
            "<sip:bob@192.0.2.9>;index=1.1",
            "<sip:+4930123@trunk.example>;index=1.1.1"
        ]
    );
    assert_eq!(
        of("Diversion"),
        ["<sip:bob@192.0.2.9>;reason=unknown;counter=1", "<sip:5000@trunk.example>;reason=unknown;counter=1"]
    );
    assert!(!trunk.contains("Evil"));
    let odd = sent(Invite {
        domain: "a b\r\nEvil: 1".into(),
        replaces: "c1\r\nEvil: 1;to-tag=a;from-tag=b".into(),
        ..invite_to("sip:+4930123@192.0.2.50:5070")
    });
    assert!(odd.starts_with("INVITE sip:+4930123@192.0.2.50:5070 ") && !odd.contains("Evil"), "{odd}");
}

#[test]
fn an_invite_of_ours_that_comes_back_is_a_loop() {
    let mut desk = desk();
    desk.endpoint.invite(desk.now, LEG, invite_to("sip:5000@192.0.2.50:5070"));
    desk.drain();
    let invite = desk.says("INVITE ");
    let back = invite.replacen("Via: ", "Via: SIP/2.0/UDP 192.0.2.50:5070;branch=z9hG4bKproxy\r\nVia: ", 1);
    desk.hear_from(udp("192.0.2.50:5070"), &back);
    desk.says("SIP/2.0 482");
    // Somebody who only knows our tag is not believed to be us.
    let via = field(&invite, "Via");
    desk.hear_from(udp("192.0.2.50:5070"), &invite.replace(&via, "SIP/2.0/UDP 192.0.2.50:5070;branch=z9hG4bKx"));
    desk.says("SIP/2.0 100");
    desk.hear(&invite_with("", OFFER).replace("Max-Forwards: 70", "Max-Forwards: 0"));
    desk.says("SIP/2.0 483");
}
