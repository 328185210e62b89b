//! What people do and what happens to them, in words that know no wire; never who carries them.

/// Something a person does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A caller dials. The call has this id from now on; its caller is leg 1.
    Dial {
        /// Counts up from [`crate::Plan::first_call`].
        call: u64,
        /// Dialled.
        number: String,
        /// Calling party.
        caller: String,
    },
    /// Picks up a ringing leg.
    Answer {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
    },
    /// Refuses a ringing leg.
    Refuse {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
        /// 486, else 603.
        busy: bool,
    },
    /// Hangs up, or gives up before an answer.
    HangUp {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
    },
    /// Presses keys.
    Press {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
        /// `0-9 * # A-D`.
        digits: String,
    },
    /// Comes to work.
    LogIn {
        /// The agent.
        agent: String,
    },
    /// Goes home, after the present call if there is one.
    LogOut {
        /// The agent.
        agent: String,
    },
    /// Takes calls.
    Ready {
        /// The agent.
        agent: String,
    },
    /// Takes no calls, after the present one if there is one.
    NotReady {
        /// The agent.
        agent: String,
        /// Why.
        reason: String,
    },
    /// What an agent does with the call in hand.
    Act {
        /// The call.
        call: u64,
        /// The agent.
        agent: String,
        /// What.
        act: Act,
    },
}

/// What an agent does with the call in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The caller hears music.
    Hold,
    /// Talks to the caller again.
    Resume,
    /// Blind transfer.
    Transfer(Target),
    /// The caller hears music, the target is called.
    Consult(Target),
    /// The consulted target takes the caller.
    Complete,
    /// Talks to the other one.
    Swap,
    /// All three talk.
    Conference,
    /// The target goes, back to the caller.
    TakeBack,
    /// Leaves a conference.
    Leave,
}

/// Whom a call is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An agent.
    Agent(String),
    /// A queue.
    Queue(String),
    /// A number.
    Number(String),
    /// A SIP URI.
    Sip(String),
}

/// Something that happens to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sense {
    /// The caller hears ringing.
    Alerting {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
    },
    /// The agent's phone rings. Told once per leg.
    Ringing {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
        /// Whose phone.
        agent: String,
    },
    /// A phone outside rings: a transfer's target, or a caller who is called back. Told once per leg.
    Called {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
        /// Number or SIP URI.
        target: String,
    },
    /// Hears music or prompts.
    Listening {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
    },
    /// Answered and hears nothing: an agent who holds the caller.
    Quiet {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
    },
    /// Talks with those legs.
    Joined {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
        /// The other legs.
        with: Vec<u32>,
    },
    /// The line is dead, without the person's doing.
    Gone {
        /// The call.
        call: u64,
        /// The leg.
        leg: u32,
        /// SIP status for a caller who was not answered, else whatever.
        status: u32,
    },
    /// This deed was refused. A dial that is refused is over; an agent who was logged out logs in again; one whose
    /// hold or consultation is refused talks on, one whose transfer is refused hangs up.
    Refused {
        /// What was asked.
        deed: Deed,
    },
}
