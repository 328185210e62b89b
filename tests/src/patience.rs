//! Waiting for conditions with a deadline. The only place of the tests that sleeps; never decides what is right.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

/// Long enough for anything on a noisy machine; reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Until `look` finds something.
///
/// # Errors
/// It has not within [`PATIENCE`]; `what` says what was waited for.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    wait_long(what, PATIENCE, look)
}

/// Until `look` finds something, with a patience of one's own.
///
/// # Errors
/// It has not in that time.
pub fn wait_long<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {} s in vain for: {what}", patience.as_secs());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Holds for the whole span, looked at again and again: for what must not happen.
///
/// # Errors
/// It did not hold at some moment.
pub fn hold_for(what: &str, span: Duration, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + span;
    while Instant::now() < end {
        if !holds() {
            bail!("did not hold: {what}");
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
