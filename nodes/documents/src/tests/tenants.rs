//! Documents of several tenants: whose names are whose.

use super::*;

const ACME: &str = "kind: Tenant\nname: acme\n---\nkind: Queue\nname: support\ntenant: acme\n---\nkind: Agent\nname: ann\n\
                    tenant: acme\nqueues: [{ name: support }]\n---\nkind: Number\nname: 6000\ntenant: acme\n\
                    route: { queue: support }\n---\nkind: Centre\nname: acme\ntenant: acme\nzone: UTC\n";

/// The main tenant's centre and acme's.
fn both() -> Vec<Document> {
    let mut documents = centre();
    documents.extend(checked(&centre(), ACME).expect("valid").upserts);
    documents
}

#[test]
fn two_tenants_may_have_queues_of_one_name() {
    let documents = both();
    let queues = documents.iter().filter(|document| key(document).is_some_and(|key| key.name == "support"));
    assert_eq!(queues.map(|queue| tenant_name(&queue.tenant)).collect::<Vec<_>>(), ["main", "acme"]);
    // What is written back is the same again, for both.
    let plan = checked(&documents, &to_yaml(&documents)).expect("valid");
    assert!(plan.upserts.is_empty(), "{plan:?}");
    let changed = checked(&documents, "kind: Queue\nname: support\ntenant: acme\nring_seconds: 33\n").expect("valid");
    assert_eq!(changed.upserts.iter().map(|queue| queue.tenant.as_str()).collect::<Vec<_>>(), ["acme"]);
}

#[test]
fn the_main_tenant_may_be_named() {
    let plan = checked(&centre(), "kind: Queue\nname: support\ntenant: main\nring_seconds: 15\nwrap_up_seconds: 0\n");
    assert_eq!(plan.expect("valid").changes[0].action, "unchanged");
}

#[test]
fn a_tenant_must_be_there() {
    refused(
        &both(),
        "kind: Queue\nname: sales\ntenant: acne\n",
        r#"centre.yaml:3: Queue sales: tenant: no tenant "acne" (allowed: acme)"#,
    );
}

#[test]
fn nobody_names_what_is_another_tenants() {
    refused(
        &both(),
        "kind: Agent\nname: bob\ntenant: acme\nqueues: [{ name: billing }]\n---\nkind: Queue\nname: billing\n",
        r#"centre.yaml:4: Agent bob: queues[0].name: no queue "billing" (allowed: support)"#,
    );
}

#[test]
fn numbers_and_agents_are_one_tenants() {
    let text = "kind: Number\nname: 6000\nroute: { queue: support }\n---\nkind: Agent\nname: agent0001\ntenant: acme\n";
    refused(
        &both(),
        text,
        "centre.yaml:2: Number 6000: name: Number 6000 belongs to tenant acme already (allowed: each number with one tenant)\n\
         centre.yaml:6: Agent agent0001: name: Agent agent0001 belongs to tenant main already (allowed: each agent with one \
         tenant)",
    );
}

#[test]
fn what_holds_for_all_tenants_is_not_said_by_one() {
    refused(
        &both(),
        "kind: Centre\nname: acme\ntenant: acme\nemergency: [\"112\"]\n",
        "centre.yaml:4: Centre acme: emergency: is not for one tenant alone (allowed: in the Centre of tenant main, for all \
         tenants)",
    );
    let trunk = checked(&both(), "kind: Trunk\nname: t\ntenant: acme\naddresses: [192.0.2.1]\n");
    assert!(trunk.expect_err("refused").contains("tenant: unknown field"));
}

#[test]
fn each_tenant_has_a_centre_and_no_second_one() {
    let errors = checked(&both(), "kind: Centre\nname: other\ntenant: acme\n").expect_err("refused");
    assert_eq!(errors, "centre.yaml:1: Centre other: there would be 2 documents of kind Centre (allowed: up to 1)");
    checked(&both(), "kind: Centre\nname: other\n").expect("the main one has none yet");
}

#[test]
fn a_placement_is_a_word() {
    let plan = checked(&[], "kind: Tenant\nname: acme\nplacement: own\n").expect("valid");
    assert!(to_yaml(&plan.upserts).contains("placement: own"));
    let errors = checked(&[], "kind: Tenant\nname: acme\nplacement: alone\n").expect_err("refused");
    assert!(errors.contains("(allowed: shared, own)"), "{errors}");
}
