//! Documents back to the YAML they came from, to be applied again as it is. Never prints a password: there is none.
//! Never prints a zone: people do not write them.

use proto::v1::{
    Agent, Caller, Centre, Document, ForwardRule, Forwarding, Hours, Membership, Number, Schedule, Trunk, TrunkHost,
    document,
};

use super::{
    page::{Page, Printed},
    printed,
    times::{Span, date_text, hours_text, season_text},
    values::to_hex,
    words::{FORWARDS, PRESENTATIONS, STARTS, TRANSPORTS, word},
};

/// Writes documents as one YAML stream.
pub fn to_yaml(documents: &[Document]) -> String {
    let written: Vec<Printed> =
        documents.iter().filter_map(|document| written(document.kind.as_ref()?, &document.tenant)).collect();
    serde_saphyr::to_string_multiple(&written).expect("text and numbers can always be written")
}

fn written(document: &document::Kind, tenant: &str) -> Option<Printed> {
    let page = match document {
        document::Kind::Number(number) => written_number(number),
        document::Kind::Queue(queue) => printed::queue(queue),
        document::Kind::Agent(agent) => written_agent(agent),
        document::Kind::Trunk(trunk) => written_trunk(trunk),
        document::Kind::Skill(skill) => Page::of("Skill", &skill.name),
        document::Kind::Schedule(schedule) => written_schedule(schedule),
        document::Kind::Caller(caller) => written_caller(caller),
        document::Kind::Forwarding(forwarding) => written_forwarding(forwarding),
        document::Kind::Centre(centre) => written_centre(centre),
        document::Kind::TenantItself(tenant) => Page::of("Tenant", &tenant.name).text("placement", &tenant.placement),
        document::Kind::Zone(_) => return None,
    };
    Some(page.text("tenant", tenant).done())
}

fn written_number(number: &Number) -> Page {
    let routes = number
        .routes
        .iter()
        .map(|route| Page::default().text("schedule", &route.schedule).text("queue", &route.queue).done());
    let route = Page::default()
        .with("queue", Printed::text(&number.queue))
        .text("agent", &number.agent)
        .number("direct_seconds", number.direct_seconds)
        .list("timed", routes);
    Page::of("Number", &number.name)
        .with("route", route.done())
        .number("priority", number.priority)
        .number("boost_seconds", number.boost_seconds)
        .map("skills", printed::demands(&number.skills))
}

fn written_agent(agent: &Agent) -> Page {
    let membership = |membership: &Membership| {
        Page::default()
            .text("name", &membership.queue)
            .number("tier", membership.tier)
            .number("weight", membership.weight)
            .done()
    };
    let skills = agent.skills.iter().map(|skill| (skill.skill.clone(), Printed::Number(skill.level)));
    Page::of("Agent", &agent.name)
        .text("contact", &agent.contact)
        .list("queues", agent.queues.iter().map(membership))
        .with("start", Printed::text(word(&STARTS, agent.start())))
        .number("wrap_up_seconds", agent.wrap_up_seconds)
        .text("ha1_md5", &to_hex(&agent.ha1_md5))
        .text("ha1_sha256", &to_hex(&agent.ha1_sha256))
        .number("capacity", agent.capacity)
        .map("skills", skills)
        .truth("ring_all_contacts", agent.ring_all_contacts)
        .text("number", &agent.number)
}

fn written_schedule(schedule: &Schedule) -> Page {
    let dates = schedule.dates.iter().map(|date| (date_text(date), hours(&date.hours)));
    let seasons = schedule.seasons.iter().map(|season| (season_text(season), hours(&season.hours)));
    Page::of("Schedule", &schedule.name)
        .with("zone", Printed::text(&schedule.zone))
        .with("hours", hours(&schedule.hours))
        .map("dates", dates)
        .map("seasons", seasons)
}

/// One span stands alone.
fn hours(hours: &[Hours]) -> Printed {
    match hours {
        [] => Printed::text("closed"),
        [span] => Printed::Text(hours_text(span)),
        _ => Printed::List(hours.iter().map(|span| Printed::Text(hours_text(span))).collect()),
    }
}

fn written_caller(caller: &Caller) -> Page {
    Page::of("Caller", &caller.name)
        .list("numbers", caller.numbers.iter().map(|number| Printed::text(number)))
        .number("priority", caller.priority)
        .number("boost_seconds", caller.boost_seconds)
        .text("agent", &caller.agent)
}

fn written_forwarding(forwarding: &Forwarding) -> Page {
    Page::of("Forwarding", &forwarding.name)
        .text("agent", &forwarding.agent)
        .list("rules", forwarding.rules.iter().map(forward_rule))
}

fn forward_rule(rule: &ForwardRule) -> Printed {
    let targets = rule.targets.iter().map(|to| {
        let page = to.target.as_ref().map(printed::target).unwrap_or_default();
        page.span("for", to.seconds).done()
    });
    Page::default()
        .with("when", Printed::text(word(&FORWARDS, rule.when())))
        .span("after", rule.after_seconds)
        .truth("group", rule.group)
        .list("to", targets)
        .done()
}

fn written_centre(centre: &Centre) -> Page {
    let mut page = Page::of("Centre", &centre.name).text("zone", &centre.zone).text("number", &centre.number);
    if centre.outside != 0 {
        page = page.with("outside", Printed::text(word(&PRESENTATIONS, centre.outside())));
    }
    if let Some(target) = &centre.transfer_failed {
        page = page.with("transfer_failed", printed::target(target).done());
    }
    page.number("hops_max", centre.hops_max)
        .number("target_ring_seconds", centre.target_ring_seconds)
        .text("blind_code", &centre.blind_code)
        .text("consult_code", &centre.consult_code)
        .text("transfer_prompt", &centre.transfer_prompt)
        .number("callback_digits_min", centre.callback_digits_min)
        .list("egress_deny", texts(&centre.egress_deny))
        .list("egress_allow", texts(&centre.egress_allow))
        .list("emergency", texts(&centre.emergency))
}

/// A span as people write it.
pub(super) fn span(seconds: u32) -> Printed {
    Printed::Text(Span(seconds).to_string())
}

fn texts(texts: &[String]) -> impl Iterator<Item = Printed> {
    texts.iter().map(|text| Printed::text(text))
}

fn written_trunk(trunk: &Trunk) -> Page {
    let mut page = Page::of("Trunk", &trunk.name)
        .list("addresses", texts(&trunk.addresses))
        .list("hosts", trunk.hosts.iter().map(trunk_host))
        .list("prefixes", texts(&trunk.prefixes))
        .number("priority", trunk.priority)
        .number("weight", trunk.weight)
        .number("calls_max", trunk.calls_max)
        .number("calls_per_second_max", trunk.calls_per_second_max)
        .number("options_seconds", trunk.options_seconds);
    if let Some(login) = &trunk.login {
        let login = Page::default()
            .text("user", &login.user)
            .text("realm", &login.realm)
            .text("ha1_md5", &to_hex(&login.ha1_md5))
            .text("ha1_sha256", &to_hex(&login.ha1_sha256));
        page = page.with("login", login.done());
    }
    if let Some(registration) = &trunk.registration {
        let registration =
            Page::default().text("aor", &registration.aor).number("expires_seconds", registration.expires_seconds);
        page = page.with("registration", registration.done());
    }
    page.truth("assert_identity", trunk.assert_identity)
        .truth("diversion", trunk.diversion)
        .text("domain", &trunk.domain)
        .list("codecs", texts(&trunk.codecs))
}

fn trunk_host(host: &TrunkHost) -> Printed {
    let mut page = Page::default().text("host", &host.host).number("port", host.port);
    if host.transport != 0 {
        page = page.with("transport", Printed::text(word(&TRANSPORTS, host.transport())));
    }
    page.number("priority", host.priority).number("weight", host.weight).done()
}
