//! Key presses in RTP, RFC 4733: many packets of one press become one digit. Reads no clock and sends nothing; time comes in.

/// A press that is not heard of for this long has ended, even if all its end packets were lost.
pub const END_MISSING_MS: u64 = 200;

/// A packet whose timestamp is behind by up to this much is late, not a new source.
const LATE_SAMPLES_MAX: i32 = 10 * 8_000;

const SAMPLES_PER_MS: u32 = 8;

/// One finished key press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// `0`-`9`, `*`, `#`, `A`-`D`.
    pub digit: char,
    /// As far as was heard.
    pub duration_ms: u32,
}

/// The four octets of a telephone-event payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The event code; 0-15 are the keys.
    pub event: u8,
    /// The press is over.
    pub end: bool,
    /// Since the packet's timestamp, in samples.
    pub duration: u16,
}

/// Reads a payload. RFC 4733, 2.3. Further reports in the same payload are not looked at (RFC 4733, 2.5.1.5 asks us not to send them).
pub fn parse(payload: &[u8]) -> Option<Report> {
    let [event, flags, high, low] = *payload.first_chunk::<4>()?;
    Some(Report { event, end: flags & 0x80 != 0, duration: u16::from_be_bytes([high, low]) })
}

/// The key of an event code.
pub fn digit_of(event: u8) -> Option<char> {
    b"0123456789*#ABCD".get(usize::from(event)).map(|&key| char::from(key))
}

/// Hears one source's events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Receiver {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// No press has been heard.
    #[default]
    Nothing,
    /// A key is down.
    Pressed(Pressed),
    /// A press was reported; its repetitions mean nothing.
    Reported { timestamp: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Pressed {
    digit: char,
    /// Where the current segment of the press began.
    timestamp: u32,
    /// Of the segments before the current one.
    earlier_samples: u32,
    /// Of the current one, as far as was heard.
    samples: u16,
    heard_ms: u64,
}

impl Pressed {
    fn press(self) -> Press {
        let samples = self.earlier_samples.saturating_add(u32::from(self.samples));
        Press { digit: self.digit, duration_ms: samples / SAMPLES_PER_MS }
    }
}

impl Receiver {
    /// Takes one event packet; says which press has ended by it, if one has. A press without end packets ends when the next
    /// begins: then that one is returned and the next is remembered.
    pub fn receive(&mut self, now_ms: u64, marker: bool, timestamp: u32, report: Report) -> Option<Press> {
        let digit = digit_of(report.event)?;
        let fresh = Pressed { digit, timestamp, earlier_samples: 0, samples: report.duration, heard_ms: now_ms };
        match self.state {
            State::Nothing => self.begin(fresh, report.end),
            State::Reported { timestamp: reported } => {
                let ahead = timestamp.wrapping_sub(reported) as i32;
                if ahead == 0 || (-LATE_SAMPLES_MAX..0).contains(&ahead) {
                    return None;
                }
                self.begin(fresh, report.end)
            }
            State::Pressed(pressed) => self.proceed(pressed, fresh, marker, report.end),
        }
    }

    /// Whether a press waits for its end; then [`Receiver::expire`] must be called now and then.
    pub fn is_pressed(&self) -> bool {
        matches!(self.state, State::Pressed(_))
    }

    /// Ends a press that has not been heard of for [`END_MISSING_MS`].
    pub fn expire(&mut self, now_ms: u64) -> Option<Press> {
        match self.state {
            State::Pressed(pressed) if now_ms.saturating_sub(pressed.heard_ms) >= END_MISSING_MS => {
                self.state = State::Reported { timestamp: pressed.timestamp };
                Some(pressed.press())
            }
            State::Nothing | State::Pressed(_) | State::Reported { .. } => None,
        }
    }

    fn begin(&mut self, fresh: Pressed, end: bool) -> Option<Press> {
        if end {
            self.state = State::Reported { timestamp: fresh.timestamp };
            return Some(fresh.press());
        }
        self.state = State::Pressed(fresh);
        None
    }

    fn proceed(&mut self, mut pressed: Pressed, fresh: Pressed, marker: bool, end: bool) -> Option<Press> {
        let ahead = fresh.timestamp.wrapping_sub(pressed.timestamp) as i32;
        if (-LATE_SAMPLES_MAX..0).contains(&ahead) {
            return None;
        }
        if ahead == 0 {
            pressed.samples = pressed.samples.max(fresh.samples);
        } else if !marker && fresh.digit == pressed.digit && continues(pressed, ahead) {
            // RFC 4733, 2.5.1.3: a press longer than the duration field is told in segments, each beginning where the last ended.
            pressed.earlier_samples = pressed.earlier_samples.saturating_add(ahead.unsigned_abs());
            pressed.timestamp = fresh.timestamp;
            pressed.samples = fresh.samples;
        } else {
            // The end of the first was lost, and so may be the begin of this one: an end at once is kept until it expires.
            self.state = State::Pressed(fresh);
            return Some(pressed.press());
        }
        pressed.heard_ms = fresh.heard_ms;
        self.begin(pressed, end)
    }
}

/// Whether a segment that begins `ahead` samples after the current one is the same press going on: only a full field ends a segment
/// without an end packet, and the last report of it may have been lost.
fn continues(pressed: Pressed, ahead: i32) -> bool {
    let full = i32::from(u16::MAX);
    let heard = i32::from(pressed.samples);
    ahead >= heard && ahead <= full + 1 && ahead > full - 800 && heard > full - 4_000
}

#[cfg(test)]
mod tests;
