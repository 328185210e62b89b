//! Callers who give up, lose messages, or send what we refuse.

use sip::{Effect, EndCause};

use super::peer::*;

#[test]
fn a_caller_who_gives_up_while_waiting_gets_487() {
    for alerted in [false, true] {
        let mut desk = desk();
        desk.hear(&invite());
        let leg = desk.offered();
        if alerted {
            desk.endpoint.alert(desk.now, leg).unwrap();
            desk.drain();
            desk.says("SIP/2.0 180");
        }
        let cancel = with_body(
            &crlf(&invite())
                .split("Contact")
                .next()
                .unwrap()
                .replace("INVITE sip", "CANCEL sip")
                .replace("1 INVITE", "1 CANCEL"),
            "",
            "",
        );
        desk.hear(&cancel);
        desk.says("SIP/2.0 200 OK\r\n");
        let refusal = desk.says("SIP/2.0 487 Request Terminated\r\n");
        desk.ended(leg, EndCause::Cancelled, 487);
        // Lost: it is said again until its ACK.
        desk.wait(500);
        assert_eq!(desk.says("SIP/2.0 487"), refusal);
        desk.wait(1_000);
        desk.says("SIP/2.0 487");
        let ack = cancel
            .replace("CANCEL", "ACK")
            .replace("To: <sip:5000@192.0.2.1>", &format!("To: {}", field(&refusal, "To")));
        desk.hear(&ack);
        desk.hear(&ack);
        desk.wait(4_000);
        desk.silent();
        // The CANCEL again, and the INVITE again: the same answers, no second leg.
        desk.hear(&invite());
        desk.silent();
        desk.tells_nothing();
        desk.forgets_everything();
    }
}

#[test]
fn a_cancel_that_crosses_our_200_changes_nothing() {
    let mut desk = desk();
    desk.hear(&invite());
    let leg = desk.offered();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    let cancel = with_body(
        &crlf(&invite())
            .split("Contact")
            .next()
            .unwrap()
            .replace("INVITE sip", "CANCEL sip")
            .replace("1 INVITE", "1 CANCEL"),
        "",
        "",
    );
    desk.hear(&cancel);
    desk.says("SIP/2.0 200 OK\r\n");
    desk.tells_nothing();
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    desk.hear(&in_dialog("BYE", 2, &ok, ""));
    desk.says("SIP/2.0 200");
    desk.ended(leg, EndCause::Hangup, 200);
}

#[test]
fn a_cancel_for_nobody_is_481() {
    let mut desk = desk();
    let cancel = with_body(&crlf(&invite()).split("Contact").next().unwrap().replace("INVITE", "CANCEL"), "", "");
    desk.hear(&cancel.replace("sip:5000@", "sip:5001@"));
    desk.says("SIP/2.0 481");
    desk.forgets_everything();
}

#[test]
fn a_repeated_invite_gets_the_last_answer_and_no_second_leg() {
    let mut desk = desk();
    desk.hear(&invite());
    let leg = desk.offered();
    desk.hear(&invite());
    desk.says("SIP/2.0 100");
    desk.endpoint.alert(desk.now, leg).unwrap();
    desk.drain();
    let ringing = desk.says("SIP/2.0 180");
    desk.hear(&invite());
    assert_eq!(desk.says("SIP/2.0 180"), ringing);
    desk.tells_nothing();
    // Another way to us: merged.
    desk.hear(&invite().replace("z9hG4bKa1", "z9hG4bKother"));
    desk.says("SIP/2.0 482");
    assert_eq!(desk.endpoint.legs().count(), 1);
}

#[test]
fn an_invite_that_nobody_decides_gets_503() {
    let mut desk = desk();
    desk.hear(&invite());
    let leg = desk.offered();
    desk.wait(7_999);
    desk.silent();
    desk.wait(1);
    let refusal = desk.says("SIP/2.0 503 Service Unavailable\r\n");
    assert_eq!(field(&refusal, "Retry-After"), "5");
    desk.ended(leg, EndCause::Failed, 503);
    desk.forgets_everything();
}

#[test]
fn a_200_without_ack_is_repeated_and_then_hung_up() {
    let mut desk = desk();
    desk.hear(&invite());
    let leg = desk.offered();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    for wait in [500, 1_000, 2_000, 4_000, 4_000] {
        desk.wait(wait - 1);
        desk.silent();
        desk.wait(1);
        assert_eq!(desk.says("SIP/2.0 200"), ok);
    }
    desk.hear(&invite());
    desk.silent();
    desk.wait(32_000 - 11_500);
    while desk.sent.front().is_some_and(|(_, text)| text.starts_with("SIP/2.0 200")) {
        desk.sent.pop_front();
    }
    desk.says("BYE ");
    desk.ended(leg, EndCause::Failed, 408);
    desk.forgets_everything();
}

#[test]
fn a_lost_ack_is_not_the_end() {
    let mut desk = desk();
    desk.hear(&invite());
    let leg = desk.offered();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    desk.wait(500);
    desk.says("SIP/2.0 200");
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    desk.wait(60_000);
    desk.silent();
    desk.tells_nothing();
    assert_eq!(desk.endpoint.legs().collect::<Vec<_>>(), [leg]);
}

#[test]
fn a_bye_before_the_ack_ends_the_call() {
    let mut desk = desk();
    desk.hear(&invite());
    let leg = desk.offered();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    desk.hear(&in_dialog("BYE", 2, &ok, ""));
    desk.says("SIP/2.0 200");
    desk.ended(leg, EndCause::Hangup, 200);
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    desk.silent();
    desk.forgets_everything();
}

#[test]
fn an_end_before_the_ack_waits_for_it() {
    let mut desk = desk();
    desk.hear(&invite());
    let leg = desk.offered();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    desk.endpoint.end(desk.now, leg, 0, "").unwrap();
    desk.endpoint.end(desk.now, leg, 0, "").unwrap();
    desk.drain();
    desk.silent();
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    desk.says("BYE ");
    desk.ended(leg, EndCause::Ordered, 200);
    desk.forgets_everything();
}

#[test]
fn an_unanswered_caller_is_refused_with_what_was_ordered() {
    for (asked, said) in
        [(486, "SIP/2.0 486 Busy Here\r\n"), (0, "SIP/2.0 480 "), (200, "SIP/2.0 480 "), (604, "SIP/2.0 604 ")]
    {
        let mut desk = desk();
        desk.hear(&invite());
        let leg = desk.offered();
        desk.endpoint.end(desk.now, leg, asked, "nobody\r\nhere").unwrap();
        desk.drain();
        let refusal = desk.says(said);
        assert!(field(&refusal, "Reason").ends_with(";text=\"nobodyhere\""), "{refusal}");
        desk.ended(leg, EndCause::Ordered, if (300..700).contains(&asked) { asked } else { 480 });
        desk.forgets_everything();
    }
}

#[test]
fn a_late_offer_is_offered_in_the_200_and_answered_in_the_ack() {
    let mut desk = desk();
    desk.hear(&invite_with("", ""));
    desk.says("SIP/2.0 100");
    let Effect::Offered { leg, media, .. } = desk.tells() else { panic!() };
    assert_eq!(media, None);
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    assert!(body(&ok).contains("m=audio 20000 RTP/AVP 0 8 101\r\n"));
    desk.hear(&in_dialog_with("ACK", 1, &ok, "", "application/sdp", OFFER));
    assert!(matches!(desk.tells(), Effect::MediaChanged { .. }));
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    assert_eq!(desk.endpoint.remote_media(leg).unwrap().address, address("192.0.2.77:6000"));
}

#[test]
fn a_late_offer_without_an_answer_is_hung_up() {
    let mut desk = desk();
    desk.hear(&invite_with("", ""));
    let leg = desk.offered();
    desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
    desk.drain();
    let ok = desk.says("SIP/2.0 200");
    desk.hear(&in_dialog("ACK", 1, &ok, ""));
    desk.says("BYE ");
    desk.ended(leg, EndCause::Media, 200);
}

#[test]
fn what_cannot_be_taken_is_refused_at_once_and_forgotten() {
    let video = "v=0\no=a 1 1 IN IP4 192.0.2.77\ns=-\nc=IN IP4 192.0.2.77\nt=0 0\nm=video 6000 RTP/AVP 31\n";
    let cases = [
        (invite().replace("sip:5000@", "sip:5001@"), "404"),
        (invite().replace("Max-Forwards: 70", "Max-Forwards: 0"), "483"),
        (invite().replace("INVITE sip:5000@192.0.2.1 ", "INVITE foo:5000 "), "416"),
        (invite_with("Require: 100rel, timer, nothing\n", OFFER), "420"),
        (invite().replace("application/sdp", "text/plain"), "415"),
        (invite_with("Content-Encoding: gzip\n", OFFER), "415"),
        (invite_with("", video), "488"),
        (invite_with("", "rubbish"), "400"),
        (invite().replace("CSeq: 1 INVITE", "CSeq: 1 BYE"), "400"),
        (invite().replace("CSeq: 1 INVITE", "CSeq: x INVITE"), "400"),
        (invite().replace("Contact: ", "X-Contact: "), "400"),
        (invite().replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), "505"),
        (invite_with("Session-Expires: 60\nSupported: timer\n", OFFER), "422"),
        (invite().replace("INVITE", "REFER"), "405"),
        (invite().replace("INVITE", "NEWER"), "501"),
        (invite().replace("INVITE", "BYE"), "481"),
        (invite().replace("Content-Length: ", "Content-Length: 9"), "400"),
    ];
    for (text, status) in cases {
        let mut desk = desk();
        desk.hear(&text);
        let refusal = desk.says(&format!("SIP/2.0 {status} "));
        match status {
            "420" => assert_eq!(field(&refusal, "Unsupported"), "100rel, nothing"),
            "422" => assert_eq!(field(&refusal, "Min-SE"), "90"),
            "415" => assert!(field(&refusal, "Accept").contains("application/sdp")),
            "405" | "501" => assert!(field(&refusal, "Allow").contains("INVITE")),
            _ => {}
        }
        // The same again is the same again, and its ACK ends nowhere.
        desk.hear(&text);
        assert_eq!(desk.says("SIP/2.0 "), refusal);
        desk.silent();
        desk.tells_nothing();
        assert_eq!(desk.endpoint.transactions(), 0);
    }
}

#[test]
fn a_stranger_is_refused_and_noise_is_met_with_silence() {
    let mut desk = desk();
    desk.hear_from(udp("203.0.113.66:5060"), &invite());
    desk.says("SIP/2.0 403");
    for noise in [
        "",
        "\r\n\r\n",
        "hello",
        "GET / HTTP/1.1\r\nVia: x\r\n\r\n",
        "INVITE sip:5000@192.0.2.1 SIP/2.0\r\nTo: <sip:x@y>\r\n\r\n",
    ] {
        desk.hear(noise);
    }
    desk.hear(&invite().replace("INVITE", "ACK"));
    desk.hear(&invite().replace("INVITE sip:5000@192.0.2.1 SIP", "ACK sip:  SIP"));
    desk.hear("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKnobody\r\nTo: <sip:a@b>\r\nFrom: <sip:a@b>;tag=1\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n");
    desk.silent();
    desk.tells_nothing();
    assert_eq!(desk.endpoint.transactions(), 0);
}

#[test]
fn too_many_calls_get_503() {
    let mut desk = desk_with(|config| config.limits.legs_max = 1);
    desk.hear(&invite());
    desk.offered();
    desk.hear(&invite().replace("call-1", "call-2").replace("z9hG4bKa1", "z9hG4bKa2"));
    let refusal = desk.says("SIP/2.0 503");
    assert_eq!(field(&refusal, "Retry-After"), "5");
    desk.tells_nothing();
}

#[test]
fn answers_go_where_rfc_3581_and_3261_say() {
    let mut desk = desk();
    // rport: back to the source port.
    desk.hear_from(udp("198.51.100.9:40000"), &invite());
    let (flow, text) = desk.says_to("SIP/2.0 100");
    assert_eq!(flow.remote, address("198.51.100.9:40000"));
    assert!(text.contains(";received=198.51.100.9;rport=40000"));
    // No rport: to the source address and the port in Via.
    desk.hear_from(
        udp("198.51.100.9:40000"),
        &invite()
            .replace(";rport", "")
            .replace("192.0.2.77:5060;", "host.example:5999;")
            .replace("call-1", "call-2")
            .replace("z9hG4bKa1", "z9hG4bKa2"),
    );
    let (flow, text) = desk.says_to("SIP/2.0 100");
    assert_eq!(flow.remote, address("198.51.100.9:5999"));
    assert!(text.contains(";received=198.51.100.9\r\n"));
    // TCP: over the connection.
    desk.hear_from(
        tcp("198.51.100.9:40000", 7),
        &invite().replace(";rport", "").replace("call-1", "call-3").replace("z9hG4bKa1", "z9hG4bKa3"),
    );
    let (flow, _) = desk.says_to("SIP/2.0 100");
    assert_eq!(flow, tcp("198.51.100.9:40000", 7));
}

#[test]
fn another_gateway_writes_the_same_tag() {
    let (mut one, mut two) = (desk(), desk());
    one.hear(&invite());
    two.hear(&invite());
    let leg = one.offered();
    assert_eq!(leg, two.offered());
    for desk in [&mut one, &mut two] {
        desk.endpoint.answer(desk.now, leg, MEDIA).unwrap();
        desk.drain();
    }
    assert_eq!(one.says("SIP/2.0 200"), two.says("SIP/2.0 200"));
}
