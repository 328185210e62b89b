//! What is registered with carriers, and where. Pure. When a binding is asked for again is the endpoint's: here is decided that
//! there is one, and that it moves when its registrar dies.

use std::{collections::BTreeMap, sync::Arc};

use sip::{Bind, Flow, Login};

use super::trunk::{Registration, Trunk};

/// Everything that is kept bound, by id.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    bindings: BTreeMap<u64, Binding>,
    /// Asked for, and not wanted any more.
    leaving: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct Binding {
    pub(super) trunk: String,
    registration: Registration,
    login: Option<Login>,
    /// Where it is asked for; none before anything is known of the trunk's hosts.
    pub(super) registrar: Option<Flow>,
    bound: bool,
}

impl Bindings {
    /// One for each trunk that registers; one that has changed is taken back and made anew.
    pub(super) fn set_trunks(&mut self, trunks: &[Arc<Trunk>], ids: &mut u64) {
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
                registrar: None,
                bound: false,
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

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Binding)> {
        self.bindings.iter().map(|(id, binding)| (*id, binding))
    }

    /// It is asked for at this registrar from now on; none when it is already.
    pub(super) fn bind(&mut self, id: u64, registrar: Flow) -> Option<Bind> {
        let binding = self.bindings.get_mut(&id).filter(|binding| binding.registrar != Some(registrar))?;
        binding.registrar = Some(registrar);
        binding.bound = false;
        let Registration { aor, expires_seconds } = binding.registration.clone();
        Some(Bind { aor, registrar, expires_seconds, login: binding.login.clone() })
    }

    /// What became of it; the registrar, when it is the one to blame.
    pub(super) fn bound(&mut self, id: u64, status: u16, expires_seconds: u32) -> Option<Flow> {
        let binding = self.bindings.get_mut(&id)?;
        binding.bound = (200..300).contains(&status) && expires_seconds > 0;
        binding.registrar.filter(|_| matches!(status, 0 | 408 | 500..=599))
    }

    /// Whether a trunk has what it registers; none when it registers nothing.
    pub(super) fn is_bound(&self, trunk: &str) -> Option<bool> {
        self.bindings.values().find(|binding| binding.trunk == trunk).map(|binding| binding.bound)
    }
}
