//! Who changed what: records that are numbered and chained here. Decides about nothing else.

use std::collections::VecDeque;

use proto::v1::{
    Audit, AuditLine, AuditList, AuditRecord, DirectorySnapshot, ListAuditRequest, Rejection, RejectionCode,
};
use trust::chain::Link;

use super::{Directory, refuse};

/// Records kept here; all of them are in the outboxes of the nodes, for as long as these keep records.
pub(super) const AUDIT_RECORDS_MAX: usize = 10_000;
/// Records in one answer when the asker gives no number.
const LIST_DEFAULT: usize = 100;
/// Bytes of all texts of one record.
const TEXT_BYTES_MAX: usize = 4_096;

/// The latest records, oldest first.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Trail {
    latest: VecDeque<AuditRecord>,
    /// How many there were: the number of the last one.
    written: u64,
}

impl Trail {
    pub(super) fn save(&self, snapshot: &mut DirectorySnapshot) {
        snapshot.audit = self.latest.iter().cloned().collect();
        snapshot.audit_next = self.written;
    }

    pub(super) fn restore(snapshot: &mut DirectorySnapshot) -> Self {
        Self { latest: std::mem::take(&mut snapshot.audit).into(), written: snapshot.audit_next }
    }

    fn write(&mut self, at_ms: u64, mut audit: Audit) {
        if audit.of_name != 0 {
            // The latest ones are the likely ones. One that is kept no longer is 0, as if it were unknown.
            let announced = self.latest.iter().rev().find(|record| name_of(record) == audit.of_name);
            audit.of = announced.map_or(0, |record| record.number);
        }
        let before = self.latest.back().map(|last| last.hash.clone()).unwrap_or_default();
        let mut record = AuditRecord { number: self.written + 1, at_ms, what: Some(audit), before, hash: Vec::new() };
        record.hash = hash(&record).to_vec();
        self.written = record.number;
        self.latest.push_back(record);
        while self.latest.len() > AUDIT_RECORDS_MAX {
            self.latest.pop_front();
        }
    }
}

impl Directory {
    /// The latest audit records, oldest first.
    pub fn audit(&self) -> impl DoubleEndedIterator<Item = &AuditRecord> {
        self.audit.latest.iter()
    }

    /// How many audit records there ever were.
    #[must_use]
    pub const fn audited(&self) -> u64 {
        self.audit.written
    }

    /// The records after a number, or the latest; at most so many.
    #[must_use]
    pub fn audit_list(&self, wanted: &ListAuditRequest) -> AuditList {
        let asked = usize::try_from(wanted.limit).unwrap_or(AUDIT_RECORDS_MAX);
        let limit = if asked == 0 { LIST_DEFAULT } else { asked.min(AUDIT_RECORDS_MAX) };
        let mut records: Vec<&AuditRecord> = self.audit().filter(|record| record.number > wanted.after).collect();
        match wanted.after {
            0 => drop(records.drain(..records.len().saturating_sub(limit))),
            _ => records.truncate(limit),
        }
        // Counting hashes is left to whoever asks: this is said on the thread that owns the directory.
        AuditList { lines: records.into_iter().map(line).collect(), chain_whole: false }
    }

    pub(super) fn write_audit(&mut self, audit: Audit) -> Result<(), Rejection> {
        if texts(&audit).iter().map(|text| text.len()).sum::<usize>() > TEXT_BYTES_MAX {
            return Err(refuse(RejectionCode::LimitReached, "an audit record is too long"));
        }
        self.audit.write(self.at_ms, audit);
        Ok(())
    }
}

/// Whether every hash is that of its record, and every record follows the one before.
#[must_use]
pub fn is_whole(lines: &[AuditLine]) -> bool {
    let follows = |pair: &[AuditLine]| pair[1].before == pair[0].hash && pair[1].number == pair[0].number + 1;
    let hash = |line: &AuditLine| {
        let AuditLine { number, at_ms, of, before, .. } = line;
        let texts = [&line.who, &line.role, &line.method, &line.subject, &line.outcome, &line.from];
        Link { before, number: *number, at_ms: *at_ms, of: *of, texts: texts.map(String::as_str) }.hash()
    };
    lines.windows(2).all(follows) && lines.iter().all(|line| line.hash == hash(line))
}

fn name_of(record: &AuditRecord) -> u64 {
    record.what.as_ref().map_or(0, |audit| audit.name)
}

fn texts(audit: &Audit) -> [&str; 6] {
    [&audit.who, &audit.role, &audit.method, &audit.subject, &audit.outcome, &audit.from]
}

fn hash(record: &AuditRecord) -> [u8; 32] {
    let none = Audit::default();
    let audit = record.what.as_ref().unwrap_or(&none);
    let (number, at_ms, of) = (record.number, record.at_ms, audit.of);
    Link { before: &record.before, number, at_ms, of, texts: texts(audit) }.hash()
}

fn line(record: &AuditRecord) -> AuditLine {
    let audit = record.what.clone().unwrap_or_default();
    AuditLine {
        number: record.number,
        at_ms: record.at_ms,
        who: audit.who,
        role: audit.role,
        method: audit.method,
        subject: audit.subject,
        outcome: audit.outcome,
        of: audit.of,
        from: audit.from,
        before: record.before.clone(),
        hash: record.hash.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{CommandId, DirectoryEntry, Found, directory_entry::Kind};

    use super::*;

    fn founded(rules: u32) -> Directory {
        let mut directory = Directory::default();
        let found = Found { cluster: "c".into(), secret: vec![7; 32], rules, ..Found::default() };
        directory.apply(DirectoryEntry { at_ms: 1, id: None, kind: Some(Kind::Found(found)) }).expect("founded");
        directory
    }

    fn write(directory: &mut Directory, at_ms: u64, name: u64, audit: Audit) -> Result<(), Rejection> {
        let id = Some(CommandId { sender: 0, number: name });
        directory.apply(DirectoryEntry { at_ms, id, kind: Some(Kind::Audit(Audit { name, ..audit })) })
    }

    fn audit(who: &str) -> Audit {
        Audit { who: who.into(), role: "admin".into(), method: "Admin.Apply".into(), ..Audit::default() }
    }

    #[test]
    fn records_are_numbered_and_chained_and_outcomes_find_what_announced_them() {
        let mut directory = founded(4);
        write(&mut directory, 10, 77, audit("anna")).expect("written");
        write(&mut directory, 11, 78, audit("bert")).expect("written");
        // What was said before under another leader is not said twice.
        write(&mut directory, 12, 78, audit("bert")).expect("the first answer");
        let done = Audit { of_name: 77, outcome: "done".into(), ..audit("anna") };
        write(&mut directory, 13, 79, done).expect("written");
        let list = directory.audit_list(&ListAuditRequest::default());
        assert!(is_whole(&list.lines));
        let told: Vec<_> =
            list.lines.iter().map(|line| (line.number, line.who.as_str(), line.of, line.at_ms)).collect();
        assert_eq!(told, [(1, "anna", 0, 10), (2, "bert", 0, 11), (3, "anna", 1, 13)]);
        assert!(list.lines[0].before.is_empty() && list.lines[2].before == list.lines[1].hash);
        assert_eq!(directory.version(), 1, "no new configuration");
        assert_eq!(Directory::restore(&directory.save()).expect("restored"), directory);
        let after = directory.audit_list(&ListAuditRequest { after: 1, limit: 1 });
        assert_eq!(after.lines.iter().map(|line| line.number).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_record_that_was_changed_or_taken_out_is_seen() {
        let mut directory = founded(4);
        (1..=5).for_each(|name| write(&mut directory, name, name, audit("anna")).expect("written"));
        let whole = |directory: &Directory| is_whole(&directory.audit_list(&ListAuditRequest::default()).lines);
        assert!(whole(&directory));
        let mut changed = directory.clone();
        changed.audit.latest[2].what.as_mut().expect("it says something").who = "bert".into();
        assert!(!whole(&changed));
        // Whoever can change a record can count its hash again, too; the one after it tells.
        changed.audit.latest[2].hash = hash(&changed.audit.latest[2]).to_vec();
        assert!(!whole(&changed));
        let mut missing = directory.clone();
        missing.audit.latest.remove(2);
        assert!(!whole(&missing));
        directory.audit.latest.swap(1, 2);
        assert!(!whole(&directory));
    }

    #[test]
    fn the_latest_are_kept_and_their_numbers_go_on() {
        let mut directory = founded(4);
        let many = AUDIT_RECORDS_MAX as u64 + 10;
        (1..=many).for_each(|name| write(&mut directory, name, name, audit("a")).expect("written"));
        assert_eq!((directory.audit().count(), directory.audited()), (AUDIT_RECORDS_MAX, many));
        assert_eq!(directory.audit().next().map(|record| record.number), Some(11));
        let all = directory.audit_list(&ListAuditRequest { after: 0, limit: u32::MAX });
        assert!(is_whole(&all.lines) && all.lines.len() == AUDIT_RECORDS_MAX);
        // What came of one that is kept no longer.
        let done = Audit { of_name: 1, outcome: "done".into(), ..audit("a") };
        write(&mut directory, many, many + 1, done).expect("written");
        assert_eq!(directory.audit().last().and_then(|record| record.what.as_ref()).map(|what| what.of), Some(0));
    }

    #[test]
    fn earlier_rules_know_no_audit_and_a_book_is_no_record() {
        let refused = write(&mut founded(3), 1, 1, audit("anna")).expect_err("too early");
        assert_eq!(refused.code(), RejectionCode::WrongState);
        let book = Audit { subject: "x".repeat(TEXT_BYTES_MAX + 1), ..Audit::default() };
        let mut directory = founded(4);
        assert_eq!(write(&mut directory, 1, 1, book).expect_err("too long").code(), RejectionCode::LimitReached);
        assert_eq!(directory.audited(), 0);
    }
}
