//! `cordctl call ...`: looks at calls; what is done with them is in `act`, why they went where in `explain`.

use proto::v1::{CallControl, CallDetail, CallInfo, GetCallRequest, HangUpCallRequest, LegInfo, ListCallsRequest};
use serde::Serialize;

use super::{
    act::{self, Act},
    explain,
};
use crate::{
    args::Call,
    cluster::{Admin, Cluster},
    failure::Failure,
    output::{Output, Page, figure, given, lasting, plain, tenant, word},
    records::Ended,
};

#[derive(Serialize)]
pub(super) struct View {
    tenant: String,
    pub(super) call: String,
    state: String,
    number: String,
    caller: String,
    queue: Option<String>,
    agent: Option<String>,
    age_ms: u64,
    waited_ms: u64,
    gateway: Option<String>,
    outcome: Option<String>,
}

#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    info: View,
    legs: Vec<Leg>,
    traceparent: Option<String>,
    record: Option<Ended>,
}

#[derive(Serialize)]
struct Leg {
    leg: u32,
    party: String,
    state: String,
    wanted: String,
    revision: u64,
}

pub(super) async fn run(command: Call, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let (id, act) = match command {
        Call::List { queue, ended, limit } => {
            let request = ListCallsRequest { queue: queue.unwrap_or_default(), ended, limit };
            return list(request, cluster, output).await;
        }
        Call::Show { id } => {
            let what = format!("call show {id}");
            let rpc = async |admin: &mut Admin, request| admin.get_call(request).await;
            let detail = cluster.ask(&what, GetCallRequest { call: id }, rpc).await?;
            return show(detail, output);
        }
        Call::Hangup { id } => {
            let what = format!("call hangup {id}");
            let rpc = async |admin: &mut Admin, request| admin.hang_up_call(request).await;
            let detail = cluster.ask(&what, HangUpCallRequest { call: id }, rpc).await?;
            return show(detail, output);
        }
        Call::Explain { id } => return explain::run(id, cluster, output).await,
        Call::Pull { id, agent } => (id, Act::Pull { agent }),
        Call::Change { id, priority, boost, move_to } => {
            let (priority, boost_seconds) = (priority.unwrap_or(0), boost.unwrap_or(0));
            (id, Act::Change { priority, boost_seconds, move_to: move_to.unwrap_or_default() })
        }
        Call::Transfer { who } => (who.id, Act::Transfer { agent: who.agent, target: who.target }),
        Call::Consult { who } => (who.id, Act::Consult { agent: who.agent, target: who.target }),
        Call::Hold(who) => (who.id, Act::Control { agent: who.agent, control: CallControl::Hold }),
        Call::Resume(who) => (who.id, Act::Control { agent: who.agent, control: CallControl::Resume }),
        Call::Complete(who) => (who.id, Act::Control { agent: who.agent, control: CallControl::Complete }),
        Call::Swap(who) => (who.id, Act::Control { agent: who.agent, control: CallControl::Swap }),
        Call::Conference(who) => (who.id, Act::Control { agent: who.agent, control: CallControl::Conference }),
        Call::TakeBack(who) => (who.id, Act::Control { agent: who.agent, control: CallControl::TakeBack }),
        Call::Leave(who) => (who.id, Act::Control { agent: who.agent, control: CallControl::Leave }),
        Call::Callback { id, number } => (id, Act::Callback { number }),
        Call::CancelCallback { id } => (id, Act::CancelCallback),
    };
    show(act::run(&id, act, cluster).await?, output)
}

async fn list(request: ListCallsRequest, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let rpc = async |admin: &mut Admin, request| admin.list_calls(request).await;
    let answer = cluster.ask("call list", request, rpc).await?;
    let calls: Vec<View> = answer.calls.into_iter().map(View::from).collect();
    let asked = cluster.asked();
    output.show(&calls, |page| {
        let rows = calls.iter().map(|call| {
            let cells = vec![
                plain(&call.call),
                word(&call.state),
                plain(&call.number),
                plain(&call.caller),
                plain(call.queue.as_deref().unwrap_or_default()),
                plain(call.agent.as_deref().unwrap_or_default()),
                figure(lasting(call.age_ms)),
                figure(lasting(call.waited_ms)),
                plain(call.gateway.as_deref().unwrap_or_default()),
                word(call.outcome.as_deref().unwrap_or_default()),
            ];
            (call.tenant.as_str(), cells)
        });
        let heads = ["CALL", "STATE", "NUMBER", "CALLER", "QUEUE", "AGENT", "AGE", "WAITED", "GATEWAY", "OUTCOME"];
        page.list_of_tenants(asked, &heads, rows);
    })
}

fn show(detail: CallDetail, output: Output) -> Result<String, Failure> {
    let detail = Detail {
        info: detail.info.unwrap_or_default().into(),
        legs: detail.legs.into_iter().map(Leg::from).collect(),
        traceparent: given(detail.traceparent),
        record: detail.record.map(Ended::from),
    };
    output.show(&detail, |page| {
        head(page, &detail.info);
        page.pairs([("trace", plain(detail.traceparent.as_deref().unwrap_or_default()))]);
        page.line("");
        page.table(
            ["LEG", "PARTY", "STATE", "WANTED", "REVISION"],
            detail.legs.iter().map(|leg| {
                [figure(leg.leg), plain(&leg.party), word(&leg.state), plain(&leg.wanted), figure(leg.revision)]
            }),
        );
        if let Some(record) = &detail.record {
            page.line("");
            record.words().into_iter().for_each(|line| page.line(line));
        }
    })
}

/// The call in a few lines.
pub(super) fn head(page: &mut Page, call: &View) {
    page.pairs([
        ("call", plain(&call.call)),
        ("state", word(&call.state)),
        ("outcome", word(call.outcome.as_deref().unwrap_or_default())),
        ("number", plain(&call.number)),
        ("caller", plain(&call.caller)),
        ("queue", plain(call.queue.as_deref().unwrap_or_default())),
        ("agent", plain(call.agent.as_deref().unwrap_or_default())),
        ("age", plain(lasting(call.age_ms))),
        ("waited", plain(lasting(call.waited_ms))),
        ("gateway", plain(call.gateway.as_deref().unwrap_or_default())),
    ]);
}

impl From<CallInfo> for View {
    fn from(call: CallInfo) -> Self {
        let tenant = tenant(call.tenant.clone());
        let CallInfo { call, state, number, caller, queue, agent, age_ms, waited_ms, gateway, outcome, .. } = call;
        Self {
            tenant,
            call,
            state,
            number,
            caller,
            queue: given(queue),
            agent: given(agent),
            age_ms,
            waited_ms,
            gateway: given(gateway),
            outcome: given(outcome),
        }
    }
}

impl From<LegInfo> for Leg {
    fn from(leg: LegInfo) -> Self {
        let LegInfo { leg, party, state, wanted, revision } = leg;
        Self { leg, party, state, wanted, revision }
    }
}
