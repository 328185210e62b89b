//! SRTP by SDES (RFC 4568): offered and taken where keys may travel, refused where not.

use sip::{Effect, EndCause, Flow, Invite, LegId, LocalMedia, Transport};

use super::peer::*;

const OURS: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
const THEIRS: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC";
const WITH_KEY: LocalMedia = LocalMedia { crypto: Some([1; 30]), ..MEDIA };
const LEG: LegId = LegId { shard: 1, call: 77, leg: 2 };

fn tls(address: &str) -> Flow {
    Flow { transport: Transport::Tls, remote: address.parse().unwrap(), connection: 9 }
}

fn secured(sdp: &str, crypto: &str) -> String {
    sdp.replace("RTP/AVP", "RTP/SAVP") + crypto
}

fn their_line(tag: u32) -> String {
    format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{THEIRS}|2^20\n")
}

fn over_tls(text: &str) -> String {
    text.replace("SIP/2.0/UDP", "SIP/2.0/TLS")
}

#[test]
fn a_caller_with_keys_is_answered_with_ours_under_its_tag_and_the_passport_knows_both() {
    let mut desk = desk();
    desk.from = tls("192.0.2.77:5061");
    // The first suite is one that we do not have.
    let other = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{THEIRS}\n");
    desk.hear(&over_tls(&invite_with("", &secured(OFFER, &(other + &their_line(7))))));
    desk.says("SIP/2.0 100 Trying\r\n");
    let Effect::Offered { leg, media, .. } = desk.tells() else { panic!() };
    assert_eq!(media.unwrap().crypto, Some([2; 30]));
    desk.endpoint.answer(desk.now, leg, WITH_KEY).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200 OK\r\n");
    assert!(body(&ok).contains("m=audio 20000 RTP/SAVP 8 101\r\n"), "{ok}");
    assert!(body(&ok).contains(&format!("a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{OURS}\r\n")), "{ok}");
    desk.hear(&over_tls(&in_dialog("ACK", 1, &ok, "")));
    let Effect::Confirmed { passport, .. } = desk.tells() else { panic!() };

    let mut successor = desk_with(|_| {});
    successor.from = desk.from;
    successor.endpoint.adopt(successor.now, leg, &passport).unwrap();
    assert_eq!(successor.endpoint.local_media(leg).unwrap().crypto, Some([1; 30]));
    assert_eq!(successor.endpoint.remote_media(leg).unwrap().crypto, Some([2; 30]));
    // Its re-INVITE keeps the key, whatever its own would be.
    let here = LocalMedia { port: 30_000, crypto: Some([5; 30]), ..MEDIA };
    successor.endpoint.reoffer(successor.now, leg, here).unwrap();
    successor.drain();
    let again = successor.says("INVITE ");
    assert!(body(&again).contains("m=audio 30000 RTP/SAVP 0 8 101\r\n"), "{again}");
    assert!(body(&again).contains(OURS), "{again}");
}

#[test]
fn an_offer_of_keys_that_cannot_be_used_or_came_in_the_open_is_refused() {
    let no_key = secured(OFFER, "");
    let mki = secured(OFFER, &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{THEIRS}|2^20|1:4\n"));
    let good = secured(OFFER, &their_line(1));
    for (flow, sdp) in [(tls("192.0.2.77:5061"), &no_key), (tls("192.0.2.77:5061"), &mki), (desk().from, &good)] {
        let mut desk = desk();
        desk.from = flow;
        desk.hear(&invite_with("", sdp));
        desk.says("SIP/2.0 488 ");
        desk.tells_nothing();
    }
    // Where the network is protected otherwise, it may be so configured.
    let mut desk = desk_with(|config| config.crypto_anywhere = true);
    desk.hear(&invite_with("", &good));
    let leg = desk.offered();
    // But nobody who has no key of ours can answer it.
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    desk.says("SIP/2.0 488 ");
    desk.ended(leg, EndCause::Media, 488);
}

#[test]
fn we_offer_keys_over_tls_and_only_there_and_take_no_plain_answer() {
    let invite = |desk: &mut Desk, flow: Flow| {
        let invite = Invite { destination: Some(flow), media: WITH_KEY, ..invite_to("sip:bob@192.0.2.50:5070") };
        desk.endpoint.invite(desk.now, LEG, invite);
        desk.drain();
        desk.says("INVITE ")
    };
    let mut open = desk();
    let sent = invite(&mut open, udp("192.0.2.50:5070"));
    assert!(body(&sent).contains(" RTP/AVP ") && !body(&sent).contains("crypto"), "{sent}");

    let flow = tls("192.0.2.50:5071");
    let mut desk = desk();
    let sent = invite(&mut desk, flow);
    assert!(body(&sent).contains("m=audio 20000 RTP/SAVP 0 8 101\r\n"), "{sent}");
    assert!(body(&sent).contains(&format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{OURS}\r\n")), "{sent}");
    desk.hear_from(flow, &response(&sent, "200 OK", "b1", &secured(ANSWER, &their_line(1))));
    desk.says("ACK ");
    let Effect::Answered { media, .. } = desk.tells() else { panic!() };
    assert_eq!(media.crypto, Some([2; 30]));
    assert!(!format!("{media:?}").contains("2, 2, 2"), "keys are in no log");

    let mut desk = super::peer::desk();
    let sent = invite(&mut desk, flow);
    desk.hear_from(flow, &response(&sent, "200 OK", "b1", ANSWER));
    desk.says("ACK ");
    desk.says("BYE ");
    desk.ended(LEG, EndCause::Media, 200);
}
