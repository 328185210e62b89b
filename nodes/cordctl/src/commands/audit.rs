//! `cordctl audit`: who changed what. `--verify` counts every hash again here, so that no node has to be believed.

use proto::v1::{AuditLine, ListAuditRequest, audit_trail_client::AuditTrailClient};
use serde::Serialize;
use tonic::transport::Channel;
use trust::chain::Link;

use crate::{
    args::Audit,
    cluster::Cluster,
    failure::Failure,
    output::{Output, figure, given, plain},
    records::hex,
    times::in_utc,
};

const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Serialize)]
struct View {
    number: u64,
    at_ms: u64,
    who: String,
    role: String,
    method: String,
    subject: String,
    outcome: Option<String>,
    of: Option<u64>,
    from: String,
    before: String,
    hash: String,
}

/// What `--verify` found.
#[derive(Serialize)]
struct Verified {
    whole: bool,
    records: usize,
    first: u64,
    last: u64,
    /// Of the last record: noted elsewhere, it shows later whether what is there now is still what was there then.
    hash: String,
    /// Records that do not fit what they say or what was before them.
    wrong: Vec<u64>,
}

pub(super) async fn run(asked: &Audit, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let limit = if asked.verify || asked.limit == 0 { u32::MAX } else { asked.limit };
    let wanted = ListAuditRequest { after: asked.after, limit };
    let rpc = async |channel: &mut Channel, request| {
        AuditTrailClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX).list(request).await
    };
    let lines = cluster.ask_service("audit", wanted, rpc).await?.lines;
    if asked.verify {
        return verify(&lines, output);
    }
    let views: Vec<View> = lines.into_iter().map(View::from).collect();
    output.show(&views, |page| {
        let heads = ["NUMBER", "AT", "WHO", "ROLE", "WHAT", "OF", "OUTCOME", "FROM"];
        page.table(
            heads,
            views.iter().map(|view| {
                let outcome = view.outcome.as_deref().map(|outcome| match view.of {
                    Some(of) => format!("{outcome} (of {of})"),
                    None => outcome.to_owned(),
                });
                [
                    figure(view.number),
                    plain(in_utc(view.at_ms)),
                    plain(&view.who),
                    plain(&view.role),
                    plain(&view.method),
                    plain(&view.subject),
                    plain(outcome.as_deref().unwrap_or("-")),
                    plain(&view.from),
                ]
            }),
        );
    })
}

fn verify(lines: &[AuditLine], output: Output) -> Result<String, Failure> {
    let verified = verified(lines);
    let words = match (verified.whole, verified.records) {
        (_, 0) => "there are no audit records".to_owned(),
        (true, count) => {
            let Verified { first, last, hash, .. } = &verified;
            format!("whole: {count} records, {first} to {last}; hash of the last: {hash}")
        }
        (false, _) => String::new(),
    };
    if !verified.whole {
        let wrong: Vec<String> = verified.wrong.iter().take(10).map(ToString::to_string).collect();
        let why = format!("the chain is broken at record {}", wrong.join(", "));
        return Err(Failure::Left { what: "audit".to_owned(), left: why });
    }
    output.show(&verified, |page| page.line(&words))
}

fn verified(lines: &[AuditLine]) -> Verified {
    let mut wrong = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let fits = match index.checked_sub(1).and_then(|before| lines.get(before)) {
            Some(before) => line.before == before.hash && line.number == before.number + 1,
            // What came before the first that is kept is known by its hash alone; before the very first, nothing was.
            None => line.before.is_empty() == (line.number == 1),
        };
        if !fits || line.hash != hash(line) {
            wrong.push(line.number);
        }
    }
    Verified {
        whole: wrong.is_empty(),
        records: lines.len(),
        first: lines.first().map_or(0, |line| line.number),
        last: lines.last().map_or(0, |line| line.number),
        hash: lines.last().map(|line| hex(&line.hash)).unwrap_or_default(),
        wrong,
    }
}

fn hash(line: &AuditLine) -> [u8; 32] {
    let AuditLine { number, at_ms, of, before, .. } = line;
    let texts = [&line.who, &line.role, &line.method, &line.subject, &line.outcome, &line.from].map(String::as_str);
    Link { before, number: *number, at_ms: *at_ms, of: *of, texts }.hash()
}

impl From<AuditLine> for View {
    fn from(line: AuditLine) -> Self {
        Self {
            number: line.number,
            at_ms: line.at_ms,
            who: line.who,
            role: line.role,
            method: line.method,
            subject: line.subject,
            outcome: given(line.outcome),
            of: Some(line.of).filter(|of| *of > 0),
            from: line.from,
            before: hex(&line.before),
            hash: hex(&line.hash),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<AuditLine> {
        let mut lines: Vec<AuditLine> = Vec::new();
        for number in 1..=5 {
            let before = lines.last().map(|line| line.hash.clone()).unwrap_or_default();
            let mut line = AuditLine { number, at_ms: number, who: "anna".into(), before, ..AuditLine::default() };
            line.hash = hash(&line).to_vec();
            lines.push(line);
        }
        lines
    }

    #[test]
    fn a_whole_chain_is_whole_and_so_is_its_end() {
        let lines = chain();
        assert!(verified(&lines).whole && verified(&lines[2..]).whole && verified(&[]).whole);
        assert_eq!(verified(&lines[2..]).hash, hex(&lines[4].hash));
    }

    #[test]
    fn what_was_changed_added_or_taken_out_is_found() {
        let mut changed = chain();
        changed[2].who = "bert".into();
        assert_eq!(verified(&changed).wrong, [3]);
        // Whoever counts the hash of a changed record again breaks the next one.
        changed[2].hash = hash(&changed[2]).to_vec();
        assert_eq!(verified(&changed).wrong, [4]);
        let mut shorter = chain();
        shorter.remove(2);
        assert_eq!(verified(&shorter).wrong, [4]);
        let mut beheaded = chain();
        beheaded[0].before = vec![1; 32];
        assert!(!verified(&beheaded).whole);
    }
}
