//! The command line of calls: what can be asked about them, and done to them. Does nothing.

use clap::Subcommand;

use crate::times::seconds as span;

/// What can be asked about calls, and done to them.
#[derive(Debug, Subcommand)]
pub enum Call {
    /// Live calls, or ended ones.
    List {
        /// Only those of this queue.
        #[arg(long)]
        queue: Option<String>,
        /// Ended calls, newest first, instead of live ones.
        #[arg(long)]
        ended: bool,
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        limit: u32,
    },
    /// One call with its legs, and its record once it has ended.
    Show {
        /// The call's id, 16 hex digits.
        #[arg(value_parser = call_id)]
        id: String,
    },
    /// Why the call went where it went.
    Explain {
        /// The call's id, 16 hex digits.
        #[arg(value_parser = call_id)]
        id: String,
    },
    /// End the call.
    Hangup {
        /// The call's id, 16 hex digits.
        #[arg(value_parser = call_id)]
        id: String,
    },
    /// Give a waiting call to this agent now, out of turn.
    Pull {
        /// The call's id, 16 hex digits.
        #[arg(value_parser = call_id)]
        id: String,
        /// The agent's name.
        agent: String,
    },
    /// Change the place of a waiting call.
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Change {
        /// The call's id, 16 hex digits.
        #[arg(value_parser = call_id)]
        id: String,
        /// Its class, 1 (first) to 9.
        #[arg(long, group = "change", value_parser = priority)]
        priority: Option<u32>,
        /// As if it had waited longer by so much, such as 30s.
        #[arg(long, group = "change", value_parser = span)]
        boost: Option<u32>,
        /// To this queue; the time it waited is kept.
        #[arg(long, group = "change", value_name = "QUEUE")]
        move_to: Option<String>,
    },
    /// Transfer the agent's call without asking the target first.
    Transfer {
        #[command(flatten)]
        /// Whose call to whom.
        who: Handover,
    },
    /// Call the target for the agent while the customer hears music.
    Consult {
        #[command(flatten)]
        /// Whose call and whom.
        who: Handover,
    },
    /// Put the customer on hold.
    Hold(InHand),
    /// Take the customer from hold.
    Resume(InHand),
    /// Hand the customer over to the consulted target.
    Complete(InHand),
    /// Talk to the other one of customer and target.
    Swap(InHand),
    /// Let customer, agent and target all talk.
    Conference(InHand),
    /// Let the target go and return to the customer.
    TakeBack(InHand),
    /// Leave a conference; the others stay.
    Leave(InHand),
    /// Let a waiting caller go and call back when the turn comes.
    Callback {
        /// The call's id, 16 hex digits.
        #[arg(value_parser = call_id)]
        id: String,
        /// Call this number instead of the caller's own.
        #[arg(long, default_value = "")]
        number: String,
    },
    /// Give up a callback.
    CancelCallback {
        /// The call's id, 16 hex digits.
        #[arg(value_parser = call_id)]
        id: String,
    },
}

/// An agent's call and somebody else.
#[derive(Debug, clap::Args)]
pub struct Handover {
    /// The call's id, 16 hex digits.
    #[arg(value_parser = call_id)]
    pub id: String,
    /// The agent who has the call.
    pub agent: String,
    /// agent:NAME, queue:NAME, number:N or a SIP address (sip:...).
    #[arg(value_parser = target)]
    pub target: Target,
}

/// An agent's call.
#[derive(Debug, clap::Args)]
pub struct InHand {
    /// The call's id, 16 hex digits.
    #[arg(value_parser = call_id)]
    pub id: String,
    /// The agent who has the call.
    pub agent: String,
}

/// Whom a call is handed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// By name.
    Agent(String),
    /// By name.
    Queue(String),
    /// One of ours, else over a trunk.
    Number(String),
    /// A SIP URI.
    Sip(String),
}

const TARGET_CHARS_MAX: usize = 255;

fn target(text: &str) -> Result<Target, String> {
    let named = |name: &str| (!name.is_empty() && name.chars().count() <= TARGET_CHARS_MAX).then(|| name.to_owned());
    let found = match text.split_once(':') {
        Some(("agent", name)) => named(name).map(Target::Agent),
        Some(("queue", name)) => named(name).map(Target::Queue),
        Some(("number", number)) => named(number).map(Target::Number),
        Some(("sip" | "sips", address)) => named(address).map(|_| Target::Sip(text.to_owned())),
        Some(_) | None => None,
    };
    found.ok_or_else(|| "a target is agent:NAME, queue:NAME, number:N or a SIP address (sip:...)".to_owned())
}

fn priority(text: &str) -> Result<u32, String> {
    let range = documents::limits::PRIORITY;
    let class = text.parse().ok().filter(|class| range.contains(class));
    class.ok_or_else(|| format!("a priority is a class from {} (first) to {}", range.start(), range.end()))
}

fn call_id(text: &str) -> Result<String, String> {
    let hex = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u64::from_str_radix(text, 16) {
        Ok(id) if hex => Ok(format!("{id:016x}")),
        Ok(_) | Err(_) => Err("a call's id is 16 hex digits; `cordctl call list` shows them".to_owned()),
    }
}
