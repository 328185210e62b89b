//! What is done with a call in the name of a supervisor or an agent. Each is asked once: what was done twice may undo
//! itself. Decides nothing about the call.

use proto::v1::{
    ActOnCallRequest, CallControl, CallDetail, CancelCallback, ChangeCall, ConsultCall, ControlCall, PullCall,
    RequestCallback, TransferCall, act_on_call_request::Action, target,
};

use crate::{
    args::Target,
    cluster::{Admin, Cluster, by},
    failure::Failure,
};

/// What is asked of a call whose id is parsed.
pub(super) enum Act {
    Pull { agent: String },
    Change { priority: u32, boost_seconds: u32, move_to: String },
    Transfer { agent: String, target: Target },
    Consult { agent: String, target: Target },
    Control { agent: String, control: CallControl },
    Callback { number: String },
    CancelCallback,
}

impl Act {
    /// The command's word.
    fn verb(&self) -> &'static str {
        match self {
            Self::Pull { .. } => "pull",
            Self::Change { .. } => "change",
            Self::Transfer { .. } => "transfer",
            Self::Consult { .. } => "consult",
            Self::Control { control, .. } => match control {
                CallControl::Hold => "hold",
                CallControl::Resume => "resume",
                CallControl::Complete => "complete",
                CallControl::Swap => "swap",
                CallControl::Conference => "conference",
                CallControl::TakeBack => "take-back",
                CallControl::Leave => "leave",
                CallControl::Unspecified => "control",
            },
            Self::Callback { .. } => "callback",
            Self::CancelCallback => "cancel-callback",
        }
    }

    fn on(self, call: u64) -> Action {
        match self {
            Self::Pull { agent } => Action::Pull(PullCall { call, agent, by: by() }),
            Self::Change { priority, boost_seconds, move_to } => {
                Action::Change(ChangeCall { call, priority, boost_seconds, move_to, by: by() })
            }
            Self::Transfer { agent, target } => {
                Action::Transfer(TransferCall { call, agent, target: Some(target.into()) })
            }
            Self::Consult { agent, target } => {
                Action::Consult(ConsultCall { call, agent, target: Some(target.into()) })
            }
            Self::Control { agent, control } => Action::Control(ControlCall { call, agent, control: control.into() }),
            Self::Callback { number } => Action::Callback(RequestCallback { call, number }),
            Self::CancelCallback => Action::CancelCallback(CancelCallback { call, by: by() }),
        }
    }
}

/// Does it; the answer is the call as it stands then.
pub(super) async fn run(id: &str, act: Act, cluster: &mut Cluster) -> Result<CallDetail, Failure> {
    let what = format!("call {} {id}", act.verb());
    let call = u64::from_str_radix(id, 16).map_err(|_| Failure::Usage(format!("{what}: not a call's id")))?;
    let rpc = async |admin: &mut Admin, request| admin.act_on_call(request).await;
    cluster.ask_once(&what, ActOnCallRequest { action: Some(act.on(call)) }, rpc).await
}

impl From<Target> for proto::v1::Target {
    fn from(target: Target) -> Self {
        let kind = match target {
            Target::Agent(name) => target::Kind::Agent(name),
            Target::Queue(name) => target::Kind::Queue(name),
            Target::Number(number) => target::Kind::Number(number),
            Target::Sip(uri) => target::Kind::Sip(uri),
        };
        Self { kind: Some(kind) }
    }
}
