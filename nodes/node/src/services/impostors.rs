//! Nodes that would join in the name of another: refused, and written down in the directory, for whoever has such a
//! certificate has something that nobody meant. It lets nobody in.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use proto::v1::{AuditLine, JoinRequest, WriteAuditRequest};
use tonic::{Request, Status};
use trust::{Caller, Role};

use crate::{roles::in_own_name, shards::Shards};

/// How long writing it down may take.
const WAIT: Duration = Duration::from_secs(5);
/// A node that was started with the wrong files asks twice a second: the same is written down once in this time.
const AGAIN: Duration = Duration::from_secs(600);
/// Whoever else comes in this time is only logged.
const KNOWN_MAX: usize = 64;
/// Characters of a name that is not ours.
const NAME_MAX: usize = 64;

/// Those that were written down, by whose certificate it is and as whom it speaks. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Impostors(Arc<Mutex<BTreeMap<(String, String), Instant>>>);

impl Impostors {
    /// Refuses one that speaks in another's name.
    ///
    /// # Errors
    /// Whose certificate it is.
    pub(crate) fn refuse(&self, request: &Request<JoinRequest>, shards: &Shards) -> Result<(), Status> {
        let claimed = &request.get_ref().id;
        let Err(refusal) = in_own_name(request, Role::Node, claimed) else { return Ok(()) };
        let caller = request.extensions().get::<Caller>();
        let identity = caller.and_then(|caller| caller.identity.as_ref());
        let who = identity.map(|identity| identity.name.clone()).unwrap_or_default();
        let claimed: String = claimed.chars().filter(|letter| !letter.is_control()).take(NAME_MAX).collect();
        tracing::warn!(certificate = who, claimed, "a node would join in the name of another");
        if self.is_new(&who, &claimed) {
            let line = AuditLine {
                who,
                role: Role::Node.to_string(),
                method: "Steward.Join".into(),
                subject: format!("join as {claimed}"),
                outcome: "refused: the certificate is of another".into(),
                from: caller.and_then(|caller| caller.address).map(|at| at.ip().to_string()).unwrap_or_default(),
                ..AuditLine::default()
            };
            // Whoever is refused does not wait for it.
            tokio::spawn(write(line, shards.clone()));
        }
        Err(refusal)
    }

    fn is_new(&self, who: &str, claimed: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, at| at.elapsed() < AGAIN);
        let key = (who.to_owned(), claimed.to_owned());
        known.len() < KNOWN_MAX && !known.contains_key(&key) && known.insert(key, Instant::now()).is_none()
    }
}

async fn write(line: AuditLine, shards: Shards) {
    let mut name = [0; 8];
    // 0 is no name, and without dice it is only logged.
    if getrandom::fill(&mut name).is_err() {
        return;
    }
    let request = WriteAuditRequest { line: Some(line), name: u64::from_le_bytes(name).max(1), of_name: 0 };
    match shards.write_audit(request, WAIT).await {
        Ok(Ok(_)) => {}
        Ok(Err(rejection)) => tracing::error!(why = rejection.detail, "a refused node could not be written down"),
        Err(error) => tracing::error!(%error, "a refused node could not be written down"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_written_down_once_and_many_are_not() {
        let impostors = Impostors::default();
        assert!(impostors.is_new("n2", "n3") && !impostors.is_new("n2", "n3") && impostors.is_new("n2", "n4"));
        let new = (0..1_000).filter(|number| impostors.is_new("n2", &format!("x{number}"))).count();
        assert_eq!(new, KNOWN_MAX - 2);
    }
}
