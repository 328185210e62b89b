//! The short form of the fault suite: real processes in network namespaces, SIPp's load, one fault after the other, and a
//! checker over everything that was seen. The long form is `make faults`.

use tests::faults::{
    scenarios,
    site::Binaries,
    story::{Load, Story},
};

#[test]
fn faults_under_load_hurt_nobody() -> anyhow::Result<()> {
    let mut story = Story::open(Binaries::own()?, Load::default())?;
    for scenario in scenarios::ALL.iter().filter(|scenario| scenario.short) {
        story.play(scenario.name, scenario.play)?;
    }
    story.close().map(drop)
}
