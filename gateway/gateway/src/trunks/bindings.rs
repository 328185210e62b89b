//! What is registered with carriers, and when it must be again. Pure.

use std::{collections::BTreeMap, sync::Arc};

use sip::{Flow, Login};

use super::trunk::{Registration, Trunk};

/// The wait after a refusal, doubled with each further one.
const RETRY_MS: u64 = 5_000;
/// It is never longer.
const RETRY_MS_MAX: u64 = 300_000;
/// A REGISTER without an answer, whatever became of it, is sent again.
const LOST_MS: u64 = 40_000;
/// Of the time that was granted, after which it is asked again, in percent.
const REFRESH_PERCENT: u64 = 80;
/// No registrar can make us ask more often.
const REFRESH_MS_MIN: u64 = 10_000;
/// What is asked when nothing is known of the host yet.
const LOOK_MS: u64 = 1_000;

/// What a REGISTER asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    /// What is bound to us.
    pub(crate) aor: String,
    /// Where it is asked.
    pub(crate) registrar: Flow,
    pub(crate) expires_seconds: u32,
    pub(crate) login: Option<Login>,
}

/// Everything that is kept bound, by id.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    bindings: BTreeMap<u64, Binding>,
    /// Bound, and not wanted any more.
    leaving: Vec<u64>,
}

#[derive(Debug)]
struct Binding {
    trunk: String,
    registration: Registration,
    login: Option<Login>,
    refusals: u32,
    next_ms: u64,
    registrar: Option<Flow>,
}

impl Bindings {
    /// One for each trunk that registers; one that has changed is taken back and made anew.
    pub(super) fn set_trunks(&mut self, now_ms: u64, trunks: &[Arc<Trunk>], ids: &mut u64) {
        let wanted: Vec<_> = trunks
            .iter()
            .filter(|trunk| !trunk.hosts.is_empty())
            .filter_map(|trunk| Some((trunk, trunk.registration.as_ref()?)))
            .collect();
        let same = |binding: &Binding, trunk: &Trunk, registration: &Registration| {
            (binding.trunk.as_str(), &binding.registration, &binding.login)
                == (trunk.name.as_str(), registration, &trunk.login)
        };
        let stays = |binding: &Binding| wanted.iter().any(|(trunk, registration)| same(binding, trunk, registration));
        let gone: Vec<u64> = self.bindings.iter().filter(|(_, known)| !stays(known)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.drop_one(id));
        for (trunk, registration) in wanted {
            if self.bindings.values().any(|binding| same(binding, trunk, registration)) {
                continue;
            }
            *ids += 1;
            let binding = Binding {
                trunk: trunk.name.clone(),
                registration: registration.clone(),
                login: trunk.login.clone(),
                refusals: 0,
                next_ms: now_ms,
                registrar: None,
            };
            self.bindings.insert(*ids, binding);
        }
    }

    fn drop_one(&mut self, id: u64) {
        if self.bindings.remove(&id).is_some_and(|binding| binding.registrar.is_some()) {
            self.leaving.push(id);
        }
    }

    /// Everything is taken back.
    pub(super) fn leave(&mut self) {
        let all: Vec<u64> = self.bindings.keys().copied().collect();
        all.into_iter().for_each(|id| self.drop_one(id));
    }

    pub(super) fn take_leaving(&mut self) -> impl Iterator<Item = u64> {
        std::mem::take(&mut self.leaving).into_iter()
    }

    pub(super) fn next_ms(&self) -> Option<u64> {
        self.bindings.values().map(|binding| binding.next_ms).min()
    }

    /// Those to be asked for. Each is looked at again soon, unless it is sent.
    pub(super) fn due(&mut self, now_ms: u64) -> Vec<u64> {
        let mut due = Vec::new();
        for (id, binding) in &mut self.bindings {
            if binding.next_ms <= now_ms {
                binding.next_ms = now_ms.saturating_add(LOOK_MS);
                due.push(*id);
            }
        }
        due
    }

    pub(super) fn trunk(&self, id: u64) -> Option<&str> {
        self.bindings.get(&id).map(|binding| binding.trunk.as_str())
    }

    /// It is sent to this registrar.
    pub(super) fn bind(&mut self, now_ms: u64, id: u64, registrar: Flow, login: Option<Login>) -> Option<Bind> {
        let binding = self.bindings.get_mut(&id)?;
        binding.next_ms = now_ms.saturating_add(LOST_MS);
        binding.registrar = Some(registrar);
        let Registration { aor, expires_seconds } = binding.registration.clone();
        Some(Bind { aor, registrar, expires_seconds, login })
    }

    /// What became of it; the registrar, when it is the one to blame.
    pub(super) fn bound(&mut self, now_ms: u64, id: u64, status: u16, expires_seconds: u32) -> Option<Flow> {
        let binding = self.bindings.get_mut(&id)?;
        if (200..300).contains(&status) {
            binding.refusals = 0;
            let granted_ms = u64::from(expires_seconds.min(binding.registration.expires_seconds)) * 1_000;
            // RFC 3261 10.2.4: before it expires. Gateways and trunks do not ask in step.
            let spread_ms = granted_ms * (id % 8) / 100;
            let wait_ms = (granted_ms * REFRESH_PERCENT / 100).saturating_sub(spread_ms).max(REFRESH_MS_MIN);
            binding.next_ms = now_ms.saturating_add(wait_ms);
            return None;
        }
        let wait_ms = RETRY_MS.saturating_mul(1 << binding.refusals.min(16)).min(RETRY_MS_MAX);
        binding.refusals = binding.refusals.saturating_add(1);
        binding.next_ms = now_ms.saturating_add(wait_ms);
        binding.registrar.filter(|_| matches!(status, 0 | 408 | 500..=599))
    }

    /// This registrar is down: what is bound there is asked for elsewhere, at once.
    pub(super) fn lost(&mut self, now_ms: u64, registrar: Flow) {
        for binding in self.bindings.values_mut().filter(|binding| binding.registrar == Some(registrar)) {
            if binding.refusals == 0 {
                binding.next_ms = binding.next_ms.min(now_ms);
            }
        }
    }
}
