//! `cordctl call explain`: why the call went where it went, in words. Adds nothing to what was written down.

use proto::v1::GetCallRequest;
use serde::Serialize;

use super::call;
use crate::{
    cluster::{Admin, Cluster},
    failure::Failure,
    output::{Output, time_of_day},
    records::Written,
};

#[derive(Serialize)]
struct Explanation {
    #[serde(flatten)]
    info: call::View,
    records: Vec<Written>,
}

pub(super) async fn run(id: String, cluster: &mut Cluster, output: Output) -> Result<String, Failure> {
    let what = format!("call explain {id}");
    let rpc = async |admin: &mut Admin, request| admin.explain_call(request).await;
    let answer = cluster.ask(&what, GetCallRequest { call: id }, rpc).await?;
    let explanation = Explanation {
        info: answer.info.unwrap_or_default().into(),
        records: answer.records.into_iter().map(Written::from).collect(),
    };
    output.show(&explanation, |page| {
        call::head(page, &explanation.info);
        page.line("");
        if explanation.records.is_empty() {
            page.line("Nothing has been decided yet: the call waits, or no record of it is kept any more.");
        }
        for record in &explanation.records {
            let mut lines = record.what.words().into_iter();
            page.line(format_args!("{}  {}", time_of_day(record.at_ms), lines.next().unwrap_or_default()));
            lines.for_each(|line| page.line(format_args!("              {line}")));
        }
    })
}
