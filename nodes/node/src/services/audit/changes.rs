//! Which methods change something, and of what: names of ours, never a caller's number. What is told of a request is told
//! before it is looked at by its service, so it may be of something that does not exist.

use prost::{DecodeError, Message};
use proto::v1::{
    ActOnCallRequest, AddShardsRequest, AgentChange, ApplyRequest, ChangeAgentRequest, ChangeNodeRequest,
    DrainGatewayRequest, HangUpCallRequest, MoveLeadRequest, MoveTenantRequest, NodeWish, RaiseRulesRequest,
    SaveRequest, act_on_call_request::Action,
};

/// Characters of one name or list in a record.
const TEXT_MAX: usize = 200;

/// A method that changes something.
#[derive(Clone, Copy)]
pub struct Change {
    /// As records name it.
    pub method: &'static str,
    /// What the message says; None for a stream, of which nothing is told.
    pub(super) read: Option<Read>,
}

/// None when this message would change nothing.
type Read = fn(&[u8]) -> Result<Option<Told>, DecodeError>;

/// What a message says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) subject: String,
    /// Who they say they are; believed only where nobody has to prove it.
    pub(super) by: String,
}

/// The change that a method makes; None for those that only look, and those between nodes.
#[must_use]
pub fn changes(path: &str) -> Option<Change> {
    let method = path.strip_prefix("/cordboard.v1.")?;
    let (method, read): (&'static str, Option<Read>) = match method {
        "Admin/ChangeAgent" => ("Admin.ChangeAgent", Some(|bytes| told(bytes, change_agent))),
        "Admin/HangUpCall" => ("Admin.HangUpCall", Some(|bytes| told(bytes, hang_up_call))),
        "Admin/ActOnCall" => ("Admin.ActOnCall", Some(|bytes| told(bytes, act_on_call))),
        "Admin/Apply" => ("Admin.Apply", Some(|bytes| told(bytes, apply))),
        "Admin/DrainGateway" => ("Admin.DrainGateway", Some(|bytes| told(bytes, drain_gateway))),
        "Cluster/ChangeNode" => ("Cluster.ChangeNode", Some(|bytes| told(bytes, change_node))),
        "Cluster/AddShards" => ("Cluster.AddShards", Some(|bytes| told(bytes, add_shards))),
        "Cluster/MoveLead" => ("Cluster.MoveLead", Some(|bytes| told(bytes, move_lead))),
        "Cluster/RaiseRules" => ("Cluster.RaiseRules", Some(|bytes| told(bytes, raise_rules))),
        "Cluster/MoveTenant" => ("Cluster.MoveTenant", Some(|bytes| told(bytes, move_tenant))),
        // It changes nothing, and hands out everything.
        "Backup/Save" => ("Backup.Save", Some(|bytes| told(bytes, save))),
        "Backup/Restore" => ("Backup.Restore", None),
        _ => return None,
    };
    Some(Change { method, read })
}

fn told<M: Message + Default>(bytes: &[u8], tell: fn(&M) -> Option<Told>) -> Result<Option<Told>, DecodeError> {
    M::decode(bytes).map(|message| tell(&message))
}

fn about(subject: impl Into<String>, by: &str) -> Option<Told> {
    Some(Told { subject: cut(&subject.into()), by: cut(by) })
}

fn change_agent(change: &ChangeAgentRequest) -> Option<Told> {
    let what = match change.change() {
        AgentChange::LogIn => "log in",
        AgentChange::LogOut => "log out",
        AgentChange::Ready => "ready",
        AgentChange::NotReady => "not ready",
        AgentChange::ExtendWrapUp => "extend wrap-up",
        AgentChange::Unspecified => "nothing",
    };
    about(format!("agent {}: {what}", cut(&change.name)), "")
}

fn hang_up_call(request: &HangUpCallRequest) -> Option<Told> {
    // What a person typed: only what is a call's id is told.
    let call = crate::translate::id_from_hex(&request.call).unwrap_or_default();
    about(format!("call {call:016x}"), "")
}

/// Where a call is transferred to may be anybody's number: it is not told.
fn act_on_call(request: &ActOnCallRequest) -> Option<Told> {
    let on = |call: u64, agent: &str, what: &str| match agent {
        "" => format!("call {call:016x}: {what}"),
        agent => format!("call {call:016x}, agent {}: {what}", cut(agent)),
    };
    match &request.action {
        Some(Action::Pull(pull)) => about(on(pull.call, &pull.agent, "pull"), &pull.by),
        Some(Action::Change(change)) => about(on(change.call, "", "change"), &change.by),
        Some(Action::Transfer(transfer)) => about(on(transfer.call, &transfer.agent, "transfer"), ""),
        Some(Action::Consult(consult)) => about(on(consult.call, &consult.agent, "consult"), ""),
        Some(Action::Control(control)) => {
            let what = control.control().as_str_name().trim_start_matches("CALL_CONTROL_").to_lowercase();
            about(on(control.call, &control.agent, &what), "")
        }
        Some(Action::Callback(request)) => about(on(request.call, "", "request callback"), ""),
        Some(Action::CancelCallback(cancel)) => about(on(cancel.call, "", "cancel callback"), &cancel.by),
        None => about("nothing", ""),
    }
}

fn apply(request: &ApplyRequest) -> Option<Told> {
    let names: Vec<&str> = request.files.iter().map(|file| file.name.as_str()).collect();
    if request.dry_run { None } else { about(format!("documents of {}", names.join(", ")), &request.by) }
}

fn drain_gateway(request: &DrainGatewayRequest) -> Option<Told> {
    let what = if request.undo { "undo drain" } else { "drain" };
    about(format!("gateway {}: {what}", cut(&request.id)), &request.by)
}

fn change_node(request: &ChangeNodeRequest) -> Option<Told> {
    let what = match request.wish() {
        NodeWish::Unspecified => "undo drain",
        NodeWish::Added => "add",
        NodeWish::Drained => "drain",
        NodeWish::Replaced => "replace",
        NodeWish::Removed if request.force => "remove by force",
        NodeWish::Removed => "remove",
    };
    about(format!("node {}: {what}", cut(&request.id)), &request.by)
}

fn add_shards(request: &AddShardsRequest) -> Option<Told> {
    about(format!("{} more shards", request.count), &request.by)
}

fn move_lead(request: &MoveLeadRequest) -> Option<Told> {
    about(format!("shard {}: lead to {}", request.shard, cut(&request.to)), &request.by)
}

fn raise_rules(request: &RaiseRulesRequest) -> Option<Told> {
    let version = if request.version == 0 { "the latest".to_owned() } else { request.version.to_string() };
    if request.dry_run { None } else { about(format!("rules {version}"), &request.by) }
}

fn move_tenant(request: &MoveTenantRequest) -> Option<Told> {
    let to = match (request.own, request.to) {
        (true, _) => "a shard of its own".to_owned(),
        (false, 0) => "a shard by plan".to_owned(),
        (false, shard) => format!("shard {shard}"),
    };
    about(format!("tenant {}: to {to}", cut(&request.tenant)), &request.by)
}

fn save(_: &SaveRequest) -> Option<Told> {
    about("the whole cluster", "")
}

/// One line, and not a long one.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use proto::v1::{ApplyRequest, SourceFile, Target, TransferCall, target};

    use super::*;
    use crate::roles;

    fn read(method: &str, message: &impl Message) -> Option<Told> {
        let change = changes(&format!("/cordboard.v1.{method}")).expect("it changes something");
        change.read.expect("one message")(&message.encode_to_vec()).expect("it is one")
    }

    #[test]
    fn whatever_a_person_may_do_beyond_looking_is_a_change() {
        let looks = ["Get", "List", "Explain", "StreamRecords", "Check", "Watch", "ServerReflectionInfo"];
        for (method, roles) in roles::TABLE {
            let by_people = trust::Role::OF_USERS.into_iter().any(|role| roles.has(role));
            let name = method.rsplit('/').next().unwrap_or_default();
            let only_looks = looks.iter().any(|look| name.starts_with(look));
            let path = if method.starts_with('/') { (*method).to_owned() } else { format!("/cordboard.v1.{method}") };
            assert_eq!(changes(&path).is_some(), by_people && !only_looks, "{method}");
        }
    }

    #[test]
    fn what_is_told_names_nobody_outside() {
        let target = Some(Target { kind: Some(target::Kind::Number("015112345".into())) });
        let transfer = TransferCall { call: 0xa1, agent: "anna".into(), target };
        let request = ActOnCallRequest { action: Some(Action::Transfer(transfer)) };
        let told = read("Admin/ActOnCall", &request).expect("a change");
        assert_eq!(told.subject, "call 00000000000000a1, agent anna: transfer");
        let typed = HangUpCallRequest { call: "015112345".into() };
        assert_eq!(read("Admin/HangUpCall", &typed).map(|told| told.subject), Some(format!("call {:016x}", 0)));
    }

    #[test]
    fn what_changes_nothing_is_not_told_and_long_names_are_cut() {
        let file = SourceFile { name: "x\n".repeat(10_000), text: String::new() };
        let apply = ApplyRequest { files: vec![file], dry_run: false, by: "anna".into() };
        let told = read("Admin/Apply", &apply).expect("a change");
        assert!(told.by == "anna" && told.subject.len() <= TEXT_MAX && !told.subject.contains('\n'), "{told:?}");
        assert_eq!(read("Admin/Apply", &ApplyRequest { dry_run: true, ..apply }), None);
        assert_eq!(read("Cluster/RaiseRules", &RaiseRulesRequest { dry_run: true, ..Default::default() }), None);
        let change = changes("/cordboard.v1.Admin/Apply").and_then(|change| change.read).expect("one message");
        assert!(change(&[0xff, 0xff]).is_err());
    }
}
