//! What an endpoint does, told in literal SIP.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

#[path = "stories/agent.rs"]
mod agent;
#[path = "stories/binding.rs"]
mod binding;
#[path = "stories/caller.rs"]
mod caller;
#[path = "stories/caller_edges.rs"]
mod caller_edges;
#[path = "stories/dialogue.rs"]
mod dialogue;
#[path = "stories/doubt.rs"]
mod doubt;
#[path = "stories/hardening.rs"]
mod hardening;
#[path = "stories/identity.rs"]
mod identity;
#[path = "stories/login.rs"]
mod login;
mod peer;
#[path = "stories/refer.rs"]
mod refer;
#[path = "stories/register.rs"]
mod register;
#[path = "stories/relay.rs"]
mod relay;
#[path = "stories/reliable.rs"]
mod reliable;
#[path = "stories/secure.rs"]
mod secure;
#[path = "stories/sessions.rs"]
mod sessions;
#[path = "stories/stray.rs"]
mod stray;
#[path = "stories/take_back.rs"]
mod take_back;
#[path = "stories/take_over.rs"]
mod take_over;

fn md5_ha1() -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest("alice:cordboard:secret").into()
}

fn sha256_ha1() -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest("alice:cordboard:secret").into()
}
