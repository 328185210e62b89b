//! ActOnCall: what a supervisor or an agent's desk does with a call becomes a command to its shard. Whether it may be done
//! is the shard's decision.

use proto::v1::{
    ActOnCallRequest, CallControl, CallDetail, GetCallRequest, Target, act_on_call_request::Action, command, target,
};
use tonic::Status;

use super::{admin::AdminService, scope::Scope};
use crate::translate;

impl AdminService {
    /// `person` is whom a certificate names; empty without one, when they are who they say.
    pub(super) async fn act(
        &self,
        scope: &Scope,
        mut request: ActOnCallRequest,
        person: &str,
    ) -> Result<CallDetail, Status> {
        if !person.is_empty() {
            in_the_name_of(&mut request, person);
        }
        let (call, kind) = command_of(request)?;
        let request = GetCallRequest { call: translate::hex(call) };
        let (shard, _) = self.call(scope, request.clone()).await?;
        self.change(shard, kind).await?;
        self.call(scope, request).await.map(|(_, call)| call)
    }
}

fn in_the_name_of(request: &mut ActOnCallRequest, person: &str) {
    match &mut request.action {
        Some(Action::Pull(pull)) => pull.by = person.to_owned(),
        Some(Action::Change(change)) => change.by = person.to_owned(),
        Some(Action::CancelCallback(cancel)) => cancel.by = person.to_owned(),
        _ => {}
    }
}

/// The call it is about, and the command.
fn command_of(request: ActOnCallRequest) -> Result<(u64, command::Kind), Status> {
    use command::Kind;
    let action = request.action.ok_or_else(|| wrong("action", "is missing"))?;
    Ok(match action {
        Action::Pull(pull) => (filled("pull", pull.call, &[("agent", &pull.agent)])?, Kind::PullCall(pull)),
        Action::Change(change) => {
            if change.priority == 0 && change.boost_seconds == 0 && change.move_to.is_empty() {
                return Err(wrong("change", "changes nothing: give priority, boost_seconds or move_to"));
            }
            (filled("change", change.call, &[])?, Kind::ChangeCall(change))
        }
        Action::Transfer(transfer) => {
            named("transfer.target", transfer.target.as_ref())?;
            (filled("transfer", transfer.call, &[("agent", &transfer.agent)])?, Kind::TransferCall(transfer))
        }
        Action::Consult(consult) => {
            named("consult.target", consult.target.as_ref())?;
            (filled("consult", consult.call, &[("agent", &consult.agent)])?, Kind::ConsultCall(consult))
        }
        Action::Control(control) => {
            if !CallControl::try_from(control.control).is_ok_and(|known| known != CallControl::Unspecified) {
                return Err(wrong("control.control", "is none of hold, resume, complete, swap and the others"));
            }
            (filled("control", control.call, &[("agent", &control.agent)])?, Kind::ControlCall(control))
        }
        Action::Callback(callback) => (filled("callback", callback.call, &[])?, Kind::RequestCallback(callback)),
        Action::CancelCallback(cancel) => (filled("cancel_callback", cancel.call, &[])?, Kind::CancelCallback(cancel)),
    })
}

fn filled(action: &str, call: u64, names: &[(&str, &str)]) -> Result<u64, Status> {
    if call == 0 {
        return Err(wrong(&format!("{action}.call"), "is missing"));
    }
    match names.iter().find(|(_, name)| name.is_empty()) {
        Some((field, _)) => Err(wrong(&format!("{action}.{field}"), "is missing")),
        None => Ok(call),
    }
}

fn named(field: &str, target: Option<&Target>) -> Result<(), Status> {
    use target::Kind;
    match target.and_then(|target| target.kind.as_ref()) {
        Some(Kind::Agent(name) | Kind::Queue(name) | Kind::Number(name) | Kind::Sip(name)) if !name.is_empty() => {
            Ok(())
        }
        Some(_) | None => Err(wrong(field, "names nobody: give an agent, a queue, a number or a SIP address")),
    }
}

fn wrong(field: &str, what: &str) -> Status {
    Status::invalid_argument(format!("{field} {what}"))
}

#[cfg(test)]
mod tests {
    use proto::v1::{CancelCallback, ChangeCall, ConsultCall, ControlCall, PullCall, RequestCallback, TransferCall};
    use tonic::Code;

    use super::*;

    fn field(action: Option<Action>) -> String {
        let status = command_of(ActOnCallRequest { action }).expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        status.message().split(' ').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_is_missing_is_named() {
        let to = |kind| Some(Target { kind: Some(kind) });
        let cases = [
            ("action", None),
            ("pull.call", Some(Action::Pull(PullCall { agent: "a".into(), ..PullCall::default() }))),
            ("pull.agent", Some(Action::Pull(PullCall { call: 1, ..PullCall::default() }))),
            ("change", Some(Action::Change(ChangeCall { call: 1, by: "b".into(), ..ChangeCall::default() }))),
            ("change.call", Some(Action::Change(ChangeCall { priority: 1, ..ChangeCall::default() }))),
            ("transfer.target", Some(Action::Transfer(TransferCall { call: 1, agent: "a".into(), target: None }))),
            (
                "transfer.target",
                Some(Action::Transfer(TransferCall {
                    call: 1,
                    agent: "a".into(),
                    target: to(target::Kind::Queue(String::new())),
                })),
            ),
            (
                "consult.agent",
                Some(Action::Consult(ConsultCall {
                    call: 1,
                    agent: String::new(),
                    target: to(target::Kind::Agent("b".into())),
                })),
            ),
            ("control.control", Some(Action::Control(ControlCall { call: 1, agent: "a".into(), control: 0 }))),
            ("control.control", Some(Action::Control(ControlCall { call: 1, agent: "a".into(), control: 99 }))),
            ("callback.call", Some(Action::Callback(RequestCallback::default()))),
            ("cancel_callback.call", Some(Action::CancelCallback(CancelCallback::default()))),
        ];
        for (expected, action) in cases {
            assert_eq!(field(action), expected);
        }
    }

    #[test]
    fn whoever_asked_is_handed_on() {
        let change = ChangeCall { call: 7, priority: 1, by: "boss".into(), ..ChangeCall::default() };
        let taken = command_of(ActOnCallRequest { action: Some(Action::Change(change.clone())) });
        assert_eq!(taken.expect("taken"), (7, command::Kind::ChangeCall(change)));
    }
}
