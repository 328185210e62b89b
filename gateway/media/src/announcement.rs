//! What is said over what a leg hears: prompts in order, once. Pure; knows no leg and no clock.

use std::sync::Arc;

use crate::api::Codec;
use crate::prompt::{Prompt, Prompts};

/// The most parts of one announcement; the rest is left out.
pub const PARTS_MAX: usize = 32;
/// The most digits of a number that is said.
pub const DIGITS_MAX: usize = 9;

/// An announcement on its way.
#[derive(Debug)]
pub(crate) struct Announcement {
    prompts: Vec<Arc<Prompt>>,
    prompt: usize,
    frame: u64,
}

impl Announcement {
    /// `None` for nothing to say.
    pub(crate) fn new(prompts: Vec<Arc<Prompt>>) -> Option<Announcement> {
        (!prompts.is_empty()).then_some(Announcement { prompts, prompt: 0, frame: 0 })
    }

    /// The next 20 ms, and whether they were the last.
    pub(crate) fn next(&mut self, codec: Codec) -> Option<(&[u8], bool)> {
        let prompt = self.prompts.get(self.prompt)?;
        let frame = self.frame;
        self.frame += 1;
        if self.frame >= prompt.frames() {
            (self.prompt, self.frame) = (self.prompt + 1, 0);
        }
        Some((prompt.frame(codec, frame), self.prompt >= self.prompts.len()))
    }
}

/// The prompts of these parts and how many were missing. A part is a prompt's name, or `#` and a number: `#12` is the prompt
/// `number-12` when there is one, else `digit-1` and `digit-2`. Parts of which none is there become the built-in chime: the
/// caller should hear that something was said.
pub(crate) fn prompts_of(prompts: &Prompts, parts: &[String]) -> (Vec<Arc<Prompt>>, u64) {
    let mut found = Vec::new();
    let mut missing = 0;
    for part in parts.iter().take(PARTS_MAX) {
        for prompt in part_of(prompts, part) {
            match prompt {
                Some(prompt) => found.push(Arc::clone(prompt)),
                None => missing += 1,
            }
        }
    }
    if found.is_empty() && !parts.is_empty() {
        found.push(Arc::clone(prompts.chime()));
    }
    (found, missing)
}

fn part_of<'a>(prompts: &'a Prompts, part: &str) -> Vec<Option<&'a Arc<Prompt>>> {
    let Some(number) = part.strip_prefix('#') else { return vec![prompts.find(part)] };
    if number.is_empty() || number.len() > DIGITS_MAX || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return vec![None];
    }
    match prompts.find(&format!("number-{number}")) {
        Some(prompt) => vec![Some(prompt)],
        None => number.chars().map(|digit| prompts.find(&format!("digit-{digit}"))).collect(),
    }
}
