//! Where a reply ends, without taking it apart.

use std::io;

/// A reply longer than this is none of ours: a record has at most 8 MiB.
pub(super) const MAX_REPLY: usize = 16 << 20;

/// No number, status or error is longer.
const MAX_LINE: usize = 16 << 10;

/// The shortest value there is: a kind, and the end of its line.
const SHORTEST: usize = 3;

/// A search for the end of one reply of protocol version 2 that goes on when more has come in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    at: usize,
    /// How many values must still end until the reply does.
    pending: usize,
}

impl Default for Scan {
    fn default() -> Self {
        Self { at: 0, pending: 1 }
    }
}

impl Scan {
    /// Where the reply ends at the beginning of `inbox`; `None` while part of it is missing.
    ///
    /// What is no reply, or too long a one, is an error as soon as that can be told.
    pub(super) fn advance(&mut self, inbox: &[u8]) -> io::Result<Option<usize>> {
        while self.pending > 0 {
            let Some(rest) = inbox.get(self.at..).filter(|rest| !rest.is_empty()) else {
                return Ok(None);
            };
            let Some(line) = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
                let is_known = b"+-:$*".contains(&rest[0]);
                return if is_known && rest.len() < MAX_LINE { Ok(None) } else { Err(nonsense()) };
            };
            let after = self.at + line + 1;
            let length = || length(rest[1..line].strip_suffix(b"\r")?);
            let (end, inner) = match rest[0] {
                b'+' | b'-' | b':' => (after, 0),
                b'$' => match length().ok_or_else(nonsense)? {
                    Length::Nothing => (after, 0),
                    Length::Of(bytes) => (after + bytes + 2, 0),
                },
                b'*' => match length().ok_or_else(nonsense)? {
                    Length::Nothing => (after, 0),
                    Length::Of(values) => (after, values),
                },
                _ => return Err(nonsense()),
            };
            let pending = self.pending - 1 + inner;
            if end.saturating_add(pending.saturating_mul(SHORTEST)) > MAX_REPLY {
                return Err(nonsense());
            }
            if end > inbox.len() {
                return Ok(None);
            }
            (self.at, self.pending) = (end, pending);
        }
        Ok(Some(self.at))
    }
}

enum Length {
    Nothing,
    Of(usize),
}

fn length(digits: &[u8]) -> Option<Length> {
    if digits == b"-1" {
        return Some(Length::Nothing);
    }
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (length <= MAX_REPLY).then_some(Length::Of(length))
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came is no reply of Redis")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(bytes: &[u8]) -> Option<usize> {
        Scan::default().advance(bytes).unwrap()
    }

    #[test]
    fn reply_ends_where_its_last_value_ends() {
        for reply in [
            "+OK\r\n",
            "-ERR no\r\n",
            ":-7\r\n",
            "$0\r\n\r\n",
            "$-1\r\n",
            "$4\r\n\r\n\r\n\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*2\r\n$1\r\na\r\n*1\r\n:5\r\n",
        ] {
            let whole = format!("{reply}+more\r\n");
            assert_eq!(end(whole.as_bytes()), Some(reply.len()), "{reply:?}");
            let mut scan = Scan::default();
            for length in 0..reply.len() {
                assert_eq!(scan.advance(&reply.as_bytes()[..length]).unwrap(), None, "{reply:?}");
            }
            assert_eq!(scan.advance(whole.as_bytes()).unwrap(), Some(reply.len()), "{reply:?}");
        }
    }

    #[test]
    fn longest_reply_is_waited_for_and_a_longer_one_is_refused_by_its_first_line() {
        let of_length = |bytes: usize| {
            let line = format!("${}\r\n", bytes - "$16777203\r\n\r\n".len());
            Scan::default().advance(line.as_bytes())
        };
        assert_eq!(of_length(MAX_REPLY).unwrap(), None);
        assert!(of_length(MAX_REPLY + 1).is_err());
    }

    #[test]
    fn what_is_no_reply_is_told_without_waiting_for_its_end() {
        for wrong in [
            "HTTP/1.1 400",
            "\0",
            "$x\r\n",
            "$\r\n",
            "$+5\r\n",
            "$-7\r\n",
            "$5\n",
            "$99999999999\r\n",
            "*1000000000\r\n",
            "*18446744073709551616\r\n",
            "%1\r\n",
        ] {
            assert!(Scan::default().advance(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(Scan::default().advance(&[b'+'; MAX_LINE]).is_err());
    }
}
