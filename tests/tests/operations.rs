//! docs/operations.md: every command of it is typed, and what it shows must come.

use std::path::Path;

use anyhow::Context as _;
use tests::{
    cluster::binary,
    transcript::{Shell, steps},
};

/// The machines of the page, all of them on this one.
const ADDRESSES: [&str; 8] =
    ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.11", "10.0.0.12"];

#[test]
fn what_operators_read_is_what_happens() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md"))?;
    let binary = binary("cordboard")?;
    let mut shell = Shell::open(binary.parent().context("it is in a folder")?, &ADDRESSES)?;
    let steps = steps(&page)?;
    anyhow::ensure!(steps.len() > 10, "the page has only {} commands", steps.len());
    steps.iter().try_for_each(|step| shell.play(step))
}
