//! Nodes, shards and upgrades: what is asked for, what is printed, and how it ends when it cannot be.

use proto::v1::NodeWish;

use super::{Centre, Fake, centre, centre_of, err, out};

#[track_caller]
fn ends(centre: &Centre, line: &str, code: i32, words: &str) {
    let output = centre.run(line);
    assert_eq!(output.status.code(), Some(code), "{line}: {}", err(&output));
    assert_eq!(out(&output), "", "{line}");
    assert!(err(&output).contains(words), "{line}: {}", err(&output));
}

#[test]
fn nodes_are_listed_with_what_they_say_and_what_the_directory_knows() {
    let centre = centre();
    let text = centre.text("node list");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "STATE", "PLACE", "ZONE", "LEADS", "REPLICAS", "UPTIME", "VERSION", "GRPC"]);
    assert_eq!(rows[1], ["n1", "slow", "active", "east", "1", "2", "1m01s", "0.1.0", "127.0.0.1:7001"]);
    assert_eq!(rows[2][..4], ["n2", "down", "active", "-"]);
    // One that says nothing of itself is known all the same.
    assert_eq!(rows[3][..3], ["n3", "down", "active"]);
    let json = centre.json("node list");
    assert_eq!((&json[0]["place"], &json[0]["slow"], &json[1]["zone"]), (&"active".into(), &true.into(), &().into()));
}

#[test]
fn what_is_wanted_of_a_node_is_asked_for_as_it_was_typed() {
    let centre = centre();
    assert_eq!(centre.text("node drain n1 --wait"), "ID  PLACE    LEADS  REPLICAS\nn1  drained      1         2\n");
    centre.text("node drain n1 --undo --wait");
    centre.text("node replace n2 --with n1 --force --wait");
    centre.text("node add n4 --at 10.0.0.4:7000 --zone west");
    let removed = centre.json("node remove n2 --wait");
    assert_eq!(
        (&removed["id"], &removed["state"], &removed["next_steps"]),
        (&"n2".into(), &"removed".into(), &serde_json::json!([]))
    );
    let asked = &centre.asked.blocking_lock().nodes;
    let asked: Vec<_> = asked
        .iter()
        .map(|asked| (asked.id.as_str(), asked.wish(), asked.replacement.as_str(), asked.force, asked.zone.as_str()))
        .collect();
    assert_eq!(
        asked,
        [
            ("n1", NodeWish::Drained, "", false, ""),
            ("n1", NodeWish::Unspecified, "", false, ""),
            ("n2", NodeWish::Replaced, "n1", true, ""),
            ("n4", NodeWish::Added, "", false, "west"),
            ("n2", NodeWish::Removed, "", false, ""),
        ]
    );
}

#[test]
fn what_cannot_be_done_to_a_node_is_said_and_what_takes_too_long_goes_on() {
    let centre = centre();
    ends(&centre, "node drain n2", 1, "node drain n2: ");
    ends(&centre, "node drain n2", 1, "refused: only 1 other nodes are up. Add a node first, or say --force");
    ends(&centre, "node remove n9", 4, "node remove n9: not found: there is no n9");
    ends(&centre, "node drain", 2, "Usage");
    ends(&centre, "node drain n1 --undo --force", 2, "cannot be used with");
    ends(&centre, "node drain n1 --deadline soon", 2, "--deadline");
    let output = centre.run("node drain n3 --wait --deadline 1s");
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{}", err(&output));
    let said = err(&output);
    assert!(said.contains("node drain n3: shard 1: n1 to vote, n3 to leave"), "what is done next: {said}");
    assert!(said.contains("not done after 1 s; the cluster goes on with it"), "{said}");
}

#[test]
fn shards_are_added_and_led_by_whom_is_named() {
    let centre = centre();
    assert!(centre.text("shard add 2 --wait").starts_with("ID  ROLE"));
    centre.text("shard add");
    centre.text("shard lead 1 --to n2 --wait");
    {
        let asked = centre.asked.blocking_lock();
        assert_eq!(asked.shards.iter().map(|asked| asked.count).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(asked.leads.iter().map(|asked| (asked.shard, asked.to.as_str())).collect::<Vec<_>>(), [(1, "n2")]);
    }
    ends(&centre, "shard lead 1 --to n4", 1, "shard lead 1: ");
    ends(&centre, "shard lead 1 --to n4", 1, "refused: n4 does not vote in shard 1; n1, n2, n3 do");
    ends(&centre, "shard lead 1", 2, "--to");
    ends(&centre, "shard add 0", 2, "0 is not in 1..=256");
    ends(&centre, "shard add 257", 2, "257 is not in 1..=256");
}

#[test]
fn an_upgrade_is_finished_when_every_node_can() {
    let centre = centre();
    assert_eq!(
        centre.text("upgrade status"),
        "NODE  STATE  RELEASE  KNOWS RULES\n\
         n1    up     0.1.0              4\n\
         n2    up     0.1.0              4\n\
         n3    up     0.1.0              4\n\
         Rules 3 are in force; `cordctl upgrade finish` brings 4.\n"
    );
    assert_eq!(centre.json("upgrade status")["can_finish"], true);
    ends(&centre, "upgrade finish --rules 9", 1, "refused: not every node can follow rules 9");
    let text = centre.text("upgrade finish");
    assert!(text.ends_with("Rules 4 are in force, the latest that every node knows.\n"), "{text}");
    assert_eq!(centre.json("upgrade status")["can_finish"], false);
    let partly = centre_of(Fake { all_up_but_n2: true, ..Fake::default() });
    let text = partly.text("upgrade status");
    assert!(text.ends_with("Rules 3 are in force; 4 are possible when every node is up.\n"), "{text}");
    assert_eq!(partly.json("upgrade status")["can_finish"], false);
}

#[test]
fn whose_things_are_is_said_when_there_are_several_tenants() {
    let several = centre_of(Fake { tenants: true, ..Fake::default() });
    let column = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split_whitespace().next().unwrap_or_default().to_owned()).collect()
    };
    let shared = ["TENANT", "main", "acme"];
    for (look, heads) in
        [("queue list", "NAME"), ("call list", "CALL"), ("stats queue", "NAME"), ("agent list", "NAME")]
    {
        assert_eq!(column(&several.text(look))[..3], shared, "{look}");
        // Of one tenant it is as it always was, and so it is where there is one only.
        assert_eq!(column(&several.text(&format!("{look} --tenant acme")))[0], heads, "{look}");
        let alone = centre().text(look);
        assert_eq!(column(&alone)[0], heads, "{look}");
        // Programs are told always.
        let json = several.json(look);
        let rows = if look == "stats queue" { &json["rows"] } else { &json };
        assert_eq!((&rows[0]["tenant"], &rows[1]["tenant"]), (&"main".into(), &"acme".into()), "{look}");
    }
    assert!(several.text("top --once").contains("acme/support"));
}
