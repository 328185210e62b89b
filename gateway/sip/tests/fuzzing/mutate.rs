//! How a message is broken: flipped bits, splices, doubled lines, boundary numbers, broken UTF-8, folds.

use super::Fuzzer;

impl Fuzzer {
    pub(super) fn mutate(&mut self, message: &mut Vec<u8>) {
        for _ in 0..self.dice.usize(1..6) {
            self.mutate_once(message);
        }
    }

    fn mutate_once(&mut self, message: &mut Vec<u8>) {
        const NUMBERS: &[&str] = &[
            "0",
            "-1",
            "1",
            "255",
            "256",
            "65535",
            "65536",
            "2147483647",
            "2147483648",
            "4294967295",
            "4294967296",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999999999",
            "1e9",
            "0x10",
            "",
        ];
        const TOKENS: &[&[u8]] = &[
            b"\r\nEvil: 1\r\n",
            b"\rEvil: 1",
            b"\nEvil: 1",
            b"%0d%0aEvil:1",
            b"\"",
            b"\\",
            b"<",
            b">",
            b",",
            b";",
            b"@",
            b"?",
            b"=",
            b"%",
            b"%00",
            b"\0",
            b"\xff",
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xe2\x80\xae",
            b"\r\n\r\n",
            b"\r\n ",
            b":",
            b"[",
            b"]",
            b"--b--",
            b"tel:",
            b"sip:",
            b"sips:",
        ];
        let dice = &mut self.dice;
        let at = dice.usize(0..=message.len());
        match dice.u32(0..10) {
            0 if at < message.len() => message[at] ^= 1 << dice.u32(0..8),
            1 => {
                let other = dice.choice(&self.corpus).unwrap();
                let from = dice.usize(0..other.len());
                let to = dice.usize(from..=other.len().min(from + 200));
                message.splice(at..at, other[from..to].iter().copied());
            }
            2 => {
                // A line, twice.
                let begin = message[..at].iter().rposition(|&b| b == b'\n').map_or(0, |found| found + 1);
                let end = message[at..].iter().position(|&b| b == b'\n').map_or(message.len(), |found| at + found + 1);
                let line = message[begin..end].to_vec();
                message.splice(begin..begin, line);
            }
            3 => {
                let Some(begin) = message[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else {
                    return;
                };
                let end =
                    message[begin..].iter().position(|b| !b.is_ascii_digit()).map_or(message.len(), |n| begin + n);
                message.splice(begin..end, dice.choice(NUMBERS).unwrap().bytes());
            }
            4 | 5 => {
                let token = dice.choice(TOKENS).unwrap();
                message.splice(at..at, token.iter().copied());
            }
            6 => {
                // A folded header.
                let Some(colon) = message[at..].windows(2).position(|w| w == b": ").map(|found| at + found) else {
                    return;
                };
                message.splice(colon + 1..colon + 2, b"\r\n ".iter().copied());
            }
            7 => message.truncate(at),
            8 => {
                let end = (at + dice.usize(0..60)).min(message.len());
                message.drain(at..end);
            }
            _ => {
                let long = dice.usize(1..3_000);
                let byte = *dice.choice(b"aA0;,\" <").unwrap();
                message.splice(at..at, std::iter::repeat_n(byte, long));
            }
        }
    }
}
