//! Challenged: digest as client, for every request of ours; and an interval that is too small.

use sip::{Effect, EndCause, Invite, LegId, LocalMedia, Login};

use super::peer::*;

const LEG: LegId = LegId { shard: 1, call: 77, leg: 2 };

fn login() -> Login {
    Login { user: "alice".into(), realm: "cordboard".into(), md5: super::md5_ha1(), sha256: super::sha256_ha1() }
}

fn calling() -> (Desk, String) {
    let mut desk = desk();
    desk.from = udp("192.0.2.50:5070");
    let invite = Invite { login: Some(login()), ..invite_to("sip:bob@192.0.2.50:5070") };
    desk.endpoint.invite(desk.now, LEG, invite);
    desk.drain();
    let invite = desk.says("INVITE ");
    (desk, invite)
}

const BOTH: &str = "WWW-Authenticate: Digest realm=\"cordboard\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"
WWW-Authenticate: Digest realm=\"cordboard\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth\", opaque=\"o\"\n";

fn challenged(request: &str, more: &str) -> String {
    response_with(request, "401 Unauthorized", "b0", more, "")
}

#[test]
fn an_invite_is_asked_again_with_the_stronger_answer() {
    let (mut desk, first) = calling();
    desk.hear(&challenged(&first, BOTH));
    let ack = desk.says("ACK ");
    assert_eq!(field(&ack, "CSeq"), "1 ACK");
    assert_eq!(field(&ack, "Via"), field(&first, "Via"));
    let second = desk.says("INVITE sip:bob@192.0.2.50:5070 SIP/2.0\r\n");
    assert_eq!(field(&second, "CSeq"), "2 INVITE");
    assert_ne!(field(&second, "Via"), field(&first, "Via"));
    for name in ["From", "To", "Call-ID", "Contact", "Session-Expires"] {
        assert_eq!(field(&second, name), field(&first, name));
    }
    assert_eq!(body(&second), body(&first));
    let credentials = field(&second, "Authorization");
    for part in ["username=\"alice\"", "nonce=\"n2\"", "algorithm=SHA-256", "opaque=\"o\"", "qop=auth", "nc=00000001"] {
        assert!(credentials.contains(part), "{part} in {credentials}");
    }
    // The refusal again gets the ACK again, nothing else.
    desk.hear(&challenged(&first, BOTH));
    assert_eq!(desk.says("ACK "), ack);
    desk.silent();
    desk.hear(&response(&second, "180 Ringing", "b1", ""));
    assert_eq!(desk.tells(), Effect::Ringing { leg: LEG });
    desk.hear(&response(&second, "200 OK", "b1", ANSWER));
    let ack = desk.says("ACK ");
    assert_eq!(field(&ack, "CSeq"), "2 ACK");
    assert_eq!(field(&ack, "Authorization"), credentials);
    assert!(matches!(desk.tells(), Effect::Answered { .. }));
    // re-INVITE and BYE are challenged too.
    desk.endpoint.reoffer(desk.now, LEG, LocalMedia { port: 20_002, ..MEDIA }).unwrap();
    desk.drain();
    let again = desk.says("INVITE ");
    assert_eq!(field(&again, "CSeq"), "3 INVITE");
    desk.hear(&challenged(&again, BOTH));
    desk.says("ACK ");
    let again = desk.says("INVITE ");
    assert_eq!(field(&again, "CSeq"), "4 INVITE");
    assert!(field(&again, "To").ends_with(";tag=b1"));
    desk.hear(&response(&again, "200 OK", "", ANSWER));
    assert_eq!(field(&desk.says("ACK "), "CSeq"), "4 ACK");
    assert!(matches!(desk.tells(), Effect::Confirmed { .. }));
    desk.endpoint.end(desk.now, LEG, 0, "").unwrap();
    desk.drain();
    let bye = desk.says("BYE ");
    desk.ended(LEG, EndCause::Ordered, 200);
    desk.hear(&challenged(&bye, BOTH));
    let bye = desk.says("BYE ");
    assert_eq!(field(&bye, "CSeq"), "6 BYE");
    assert!(field(&bye, "Authorization").contains("username=\"alice\""));
    desk.hear(&challenged(&bye, BOTH));
    desk.silent();
    desk.forgets_everything();
}

#[test]
fn the_answer_to_a_proxy_is_checked_by_hand() {
    use md5::Digest;
    let (mut desk, first) = calling();
    let more = "Proxy-Authenticate: Digest realm=\"cordboard\", nonce=\"abc\"\n";
    desk.hear(&response_with(&first, "407 Proxy Authentication Required", "p", more, ""));
    desk.says("ACK ");
    let second = desk.says("INVITE ");
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let ha2 = hex(&md5::Md5::digest("INVITE:sip:bob@192.0.2.50:5070"));
    let wanted = hex(&md5::Md5::digest(format!("{}:abc:{ha2}", hex(&super::md5_ha1()))));
    assert!(field(&second, "Proxy-Authorization").contains(&format!("response=\"{wanted}\"")));
}

#[test]
fn a_stale_nonce_is_answered_once_more_and_a_wrong_password_never() {
    let (mut desk, first) = calling();
    desk.hear(&challenged(&first, BOTH));
    desk.says("ACK ");
    let second = desk.says("INVITE ");
    desk.hear(&challenged(&second, &BOTH.replace("qop", "stale=true, qop").replace("n2", "n3")));
    desk.says("ACK ");
    let third = desk.says("INVITE ");
    assert_eq!(field(&third, "CSeq"), "3 INVITE");
    assert!(field(&third, "Authorization").contains("nonce=\"n3\""));
    assert_eq!(third.matches("Authorization: ").count(), 1);
    desk.hear(&challenged(&third, BOTH));
    desk.says("ACK ");
    desk.silent();
    desk.ended(LEG, EndCause::Rejected, 401);
    desk.forgets_everything();
}

#[test]
fn a_stranger_s_realm_gets_no_answer() {
    for more in
        [BOTH.replace("realm=\"cordboard\"", "realm=\"evil\""), BOTH.replace("\"auth\"", "\"auth-int\""), String::new()]
    {
        let (mut desk, first) = calling();
        desk.hear(&challenged(&first, &more));
        desk.says("ACK ");
        desk.silent();
        desk.ended(LEG, EndCause::Rejected, 401);
    }
}

#[test]
fn who_is_not_wanted_any_more_is_not_asked_again() {
    let (mut desk, first) = calling();
    desk.hear(&response(&first, "100 Trying", "", ""));
    desk.endpoint.end(desk.now, LEG, 0, "").unwrap();
    desk.drain();
    desk.says("CANCEL ");
    desk.hear(&challenged(&first, BOTH));
    desk.says("ACK ");
    desk.silent();
    desk.ended(LEG, EndCause::Ordered, 401);
}

#[test]
fn a_challenged_invite_can_be_taken_back() {
    let (mut desk, first) = calling();
    desk.hear(&challenged(&first, BOTH));
    desk.says("ACK ");
    let second = desk.says("INVITE ");
    desk.hear(&response(&second, "180 Ringing", "b1", ""));
    desk.tells();
    desk.endpoint.end(desk.now, LEG, 0, "").unwrap();
    desk.drain();
    let cancel = desk.says("CANCEL ");
    assert_eq!(field(&cancel, "CSeq"), "2 CANCEL");
    assert_eq!(field(&cancel, "Via"), field(&second, "Via"));
    desk.hear(&response(&cancel, "200 OK", "b1", ""));
    desk.hear(&response(&second, "487 Request Terminated", "b1", ""));
    desk.says("ACK ");
    desk.ended(LEG, EndCause::Ordered, 487);
    desk.forgets_everything();
}

#[test]
fn an_interval_that_is_too_small_is_asked_again_longer() {
    let (mut desk, first) = calling();
    assert_eq!((field(&first, "Session-Expires"), field(&first, "Min-SE")), ("1800".into(), "90".into()));
    desk.hear(&response_with(&first, "422 Session Interval Too Small", "b0", "Min-SE: 3600\n", ""));
    desk.says("ACK ");
    let second = desk.says("INVITE ");
    assert_eq!((field(&second, "Session-Expires"), field(&second, "Min-SE")), ("3600".into(), "3600".into()));
    assert_eq!(field(&second, "CSeq"), "2 INVITE");
    // The same again is nonsense.
    desk.hear(&response_with(&second, "422 Session Interval Too Small", "b0", "Min-SE: 3600\n", ""));
    desk.says("ACK ");
    desk.ended(LEG, EndCause::Rejected, 422);
}
