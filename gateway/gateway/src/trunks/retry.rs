//! Whether a call that failed on one way is tried on the next. A pure table.

use sip::EndCause;

/// Whether the way failed, not the party that was called. `ringing` says that a provisional answer beyond 100 came: then
/// somebody's phone may have rung, and what is silence afterwards is theirs.
pub(crate) fn retry(cause: EndCause, status: u16, ringing: bool) -> bool {
    match (cause, status) {
        // We or the caller gave up, the far end had answered, or says where else to go.
        (EndCause::Hangup | EndCause::Cancelled | EndCause::Ordered | EndCause::Moved | EndCause::Failed, _) => false,
        // The login was refused: this trunk carries nothing now.
        (_, 401 | 407) => true,
        // Overloaded, or somebody behind it is out of reach (RFC 3263 section 4.3).
        (_, 502..=504) => true,
        // It broke: another one need not, but nobody's phone shall ring twice.
        (_, 500) => !ringing,
        // Nobody there, the connection failed, or no final answer came.
        (_, 0 | 408) => !ringing && matches!(cause, EndCause::Unreachable | EndCause::NoAnswer),
        // The party, or what was asked: everybody would answer alike.
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_way_did_is_tried_on_the_next() {
        for status in [500, 502, 503, 504, 408, 0, 401, 407] {
            assert!(retry(EndCause::Unreachable, status, false), "{status}");
        }
        assert!(retry(EndCause::NoAnswer, 408, false));
    }

    #[test]
    fn what_the_party_did_is_final() {
        for status in
            [302, 403, 404, 410, 480, 481, 482, 483, 484, 486, 487, 488, 501, 505, 513, 580, 600, 603, 604, 606]
        {
            for cause in
                [EndCause::Busy, EndCause::Rejected, EndCause::NoAnswer, EndCause::Unreachable, EndCause::Media]
            {
                assert!(!retry(cause, status, false), "{status} {cause:?}");
            }
        }
        assert!(!retry(EndCause::Busy, 600, false));
    }

    #[test]
    fn no_phone_rings_twice_for_silence() {
        assert!(!retry(EndCause::NoAnswer, 408, true));
        assert!(!retry(EndCause::Unreachable, 0, true));
        assert!(!retry(EndCause::Unreachable, 500, true));
        assert!(retry(EndCause::Unreachable, 503, true), "early media of a carrier before its refusal");
    }

    #[test]
    fn what_was_ordered_or_answered_is_never_tried_again() {
        for cause in [EndCause::Ordered, EndCause::Cancelled, EndCause::Hangup, EndCause::Failed] {
            assert!(!retry(cause, 503, false), "{cause:?}");
            assert!(!retry(cause, 0, false), "{cause:?}");
        }
    }
}
