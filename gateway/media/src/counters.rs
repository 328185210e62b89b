//! What the media threads count, for Prometheus. Each thread writes its own; nobody waits for anybody.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counts {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// What is counted, since start.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count {
            $($(#[$doc])* $variant,)+
        }

        impl Count {
            /// All of them.
            pub const ALL: &'static [Count] = &[$(Count::$variant,)+];

            /// In snake case, as a metric's name ends.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Count::$variant => $name,)+
                }
            }
        }
    };
}

counts! {
    /// Valid RTP packets from far ends.
    PacketsReceived = "packets_received",
    /// RTP packets handed to the kernel.
    PacketsSent = "packets_sent",
    /// Valid RTP from somebody who is not the far end.
    Strangers = "strangers",
    /// Neither RTP nor RTCP, or of a payload type that was not negotiated.
    Bad = "bad",
    /// Packets for a leg with SRTP that were forged, said before, or not protected.
    SrtpRefused = "srtp_refused",
    /// RTCP packets; not looked at.
    Rtcp = "rtcp",
    /// Packets for a leg whose far end was not known yet.
    Early = "early",
    /// Frames of music left out because the thread was late.
    FramesLate = "frames_late",
    /// Packets of a bridge that came too late to be sent on.
    PacketsLate = "packets_late",
    /// Packets that the other side of a bridge could not take (unknown event, comfort noise).
    Swallowed = "swallowed",
    /// Packets that the kernel did not take.
    SendErrors = "send_errors",
    /// Reads that failed.
    ReceiveErrors = "receive_errors",
    /// Sockets that could not be polled.
    RegisterErrors = "register_errors",
    /// Events dropped because the gateway did not fetch them.
    EventsDropped = "events_dropped",
    /// Parts of announcements that have no prompt.
    PromptsMissing = "prompts_missing",
    /// Packets of a conference that came too late to be mixed.
    MixLate = "mix_late",
    /// Packets of a conference that came in a heap, so that older sound was cut.
    MixCut = "mix_cut",
    /// Commands for legs that are not open, and joins of legs on two threads.
    CommandsIgnored = "commands_ignored",
}

/// One thread's counters. Only that thread writes.
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; Count::ALL.len()]);

impl Counters {
    pub(crate) fn add(&self, count: Count, more: u64) {
        let counter = &self.0[count as usize];
        // One writer: no read-modify-write is needed.
        counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
    }

    pub(crate) fn get(&self, count: Count) -> u64 {
        self.0[count as usize].load(Relaxed)
    }
}
