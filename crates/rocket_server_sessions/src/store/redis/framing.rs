//! Finds the end of a reply without parsing it.

use std::io;

use crate::config::MAX_RECORD;

/// How much memory a reply may use: its bytes, and [`VALUE_SIZE`] for each value.
pub(super) const MAX_REPLY: usize = 32 << 20;

const _: () = assert!(MAX_RECORD < MAX_REPLY, "a record is read in one reply");

/// The memory that a parsed value uses besides its text.
const VALUE_SIZE: usize = 64;

/// A reply beyond [`MAX_REPLY`] is skipped, up to this length. Strings in Redis are never longer.
const MAX_SKIPPED: usize = 512 << 20;

/// Numbers, statuses and errors are never longer.
const MAX_LINE: usize = 16 << 10;

/// Replies never nest deeper than this.
const MAX_DEPTH: usize = 16;

/// The shortest value: a type byte, and the end of its line.
const SHORTEST: usize = 3;

const END: &[u8] = b"\r\n";

/// The search for the end of one reply of protocol version 2. It resumes when more bytes have been
/// received.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The start of the next value. While a text is incomplete, this is past the end of the inbox.
    at: usize,
    /// Bytes of this reply that were discarded because it is too large.
    discarded: usize,
    /// How many values have been started.
    values: usize,
    /// How many values are missing on each level, from the whole reply to its innermost list.
    missing: Vec<usize>,
    is_in_text: bool,
    is_too_large: bool,
}

impl Default for Frame {
    fn default() -> Self {
        Self { missing: vec![1], ..Self::EMPTY }
    }
}

impl Frame {
    const EMPTY: Self = Self {
        at: 0,
        discarded: 0,
        values: 0,
        missing: Vec::new(),
        is_in_text: false,
        is_too_large: false,
    };

    /// Starts again for the next reply.
    pub(super) fn restart(&mut self) {
        let mut missing = std::mem::take(&mut self.missing);
        missing.clear();
        missing.push(1);
        *self = Self { missing, ..Self::EMPTY };
    }

    /// Returns the end of the reply at the start of `inbox`, or `None` while it is incomplete.
    ///
    /// # Errors
    ///
    /// If the bytes are not a reply, as soon as that is known.
    pub(super) fn advance(&mut self, inbox: &[u8]) -> io::Result<Option<usize>> {
        loop {
            if self.is_in_text {
                let Some(text) = inbox.get(..self.at) else { return Ok(None) };
                if !text.ends_with(END) {
                    return Err(nonsense());
                }
                self.is_in_text = false;
            }
            while self.missing.pop_if(|missing| *missing == 0).is_some() {}
            let Some(missing) = self.missing.last_mut() else { return Ok(Some(self.at)) };
            let rest = &inbox[self.at..];
            let Some((line, length)) = line(rest)? else { return Ok(None) };
            *missing -= 1;
            self.values += 1;
            self.at += length;
            match (line[0], &line[1..]) {
                (b'+' | b'-' | b':', _) | (b'$' | b'*', b"-1") => {}
                (b'$', digits) => {
                    self.at += number(digits)? + END.len();
                    self.is_in_text = true;
                }
                (b'*', digits) => {
                    self.missing.push(number(digits)?);
                    if self.missing.len() > MAX_DEPTH {
                        return Err(nonsense());
                    }
                }
                _ => return Err(nonsense()),
            }
            self.check_size()?;
        }
    }

    /// Checks the size received and the size announced so far.
    fn check_size(&mut self) -> io::Result<()> {
        let missing: usize = self.missing.iter().fold(0, |sum, it| sum.saturating_add(*it));
        let bytes = self.discarded + self.at;
        if missing.saturating_mul(SHORTEST).saturating_add(bytes) > MAX_SKIPPED {
            return Err(nonsense());
        }
        self.is_too_large |= bytes + self.values * VALUE_SIZE + missing * VALUE_SIZE > MAX_REPLY;
        Ok(())
    }

    /// Whether the reply would use too much memory. Its end is still found.
    pub(super) fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    /// Removes bytes that are no longer needed to find the end of an oversized reply.
    pub(super) fn discard(&mut self, inbox: &mut Vec<u8>) {
        let passed = self.at.saturating_sub(END.len()).min(inbox.len());
        inbox.drain(..passed);
        self.at -= passed;
        self.discarded += passed;
    }
}

/// Returns the first line without its end, and its length with it.
fn line(bytes: &[u8]) -> io::Result<Option<(&[u8], usize)>> {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        let is_possible = bytes.first().is_none_or(|kind| b"+-:$*".contains(kind));
        return if is_possible && bytes.len() < MAX_LINE { Ok(None) } else { Err(nonsense()) };
    };
    let line = bytes[..end].strip_suffix(b"\r").filter(|line| !line.is_empty());
    Ok(Some((line.ok_or_else(nonsense)?, end + 1)))
}

/// Parses a length, which has nothing but digits.
pub(super) fn number(digits: &[u8]) -> io::Result<usize> {
    let number = digits.iter().try_fold(0_usize, |number, digit| {
        let is_digit = digit.is_ascii_digit() && number <= MAX_SKIPPED / 10;
        is_digit.then(|| number * 10 + usize::from(digit - b'0'))
    });
    number.filter(|it| !digits.is_empty() && *it <= MAX_SKIPPED).ok_or_else(nonsense)
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it sent something that is not a Redis reply")
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn end(bytes: &[u8]) -> Option<usize> {
        Frame::default().advance(bytes).unwrap()
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
            "*3\r\n*0\r\n*1\r\n*0\r\n:1\r\n",
        ] {
            let whole = format!("{reply}+more\r\n");
            assert_eq!(end(whole.as_bytes()), Some(reply.len()), "{reply:?}");
            let mut frame = Frame::default();
            for length in 0..reply.len() {
                assert_eq!(frame.advance(&reply.as_bytes()[..length]).unwrap(), None, "{reply:?}");
            }
            assert_eq!(frame.advance(whole.as_bytes()).unwrap(), Some(reply.len()), "{reply:?}");
            frame.restart();
            assert_eq!(frame.advance(whole.as_bytes()).unwrap(), Some(reply.len()), "{reply:?}");
        }
    }

    #[test]
    fn reply_is_too_large_by_its_text_or_by_its_number_of_values() {
        let is_too_large = |line: String| {
            let mut frame = Frame::default();
            assert_eq!(frame.advance(line.as_bytes()).unwrap(), None);
            frame.is_too_large()
        };
        let text = MAX_REPLY - VALUE_SIZE - "$33554432\r\n\r\n".len();
        assert!(!is_too_large(format!("${text}\r\n")));
        assert!(is_too_large(format!("${}\r\n", text + 1)));
        // Four million small integers are 16 MiB on the wire, and used 219 MiB when parsed.
        assert!(is_too_large("*4000000\r\n".to_owned()));
        assert!(!is_too_large("*400000\r\n".to_owned()));
    }

    #[test]
    fn end_of_a_reply_that_is_too_large_is_found_in_little_memory() {
        let mut frame = Frame::default();
        let mut inbox = b"*2\r\n:1\r\n".to_vec();
        let length = MAX_REPLY + 5;
        inbox.extend(format!("${length}\r\n").into_bytes());
        let mut sent = 0;
        let end = loop {
            if let Some(end) = frame.advance(&inbox).unwrap() {
                break end;
            }
            frame.discard(&mut inbox);
            assert!(frame.is_too_large() && inbox.len() < 100, "{}", inbox.len());
            let part = (length - sent).min(1 << 20);
            inbox.extend(std::iter::repeat_n(b'x', part));
            sent += part;
            if part == 0 {
                inbox.extend(b"\r\n+more\r\n");
            }
        };
        assert_eq!(&inbox[end..], b"+more\r\n");
    }

    #[test]
    fn nonsense_is_refused_without_waiting_for_its_end() {
        for wrong in [
            "HTTP/1.1 400",
            "\0",
            "$x\r\n",
            "$\r\n",
            "$+5\r\n",
            "$-7\r\n",
            "$5\n",
            "$1\r\nabc",
            "$99999999999\r\n",
            "*1000000000\r\n",
            "*18446744073709551616\r\n",
            "%1\r\n",
            "\r\n",
        ] {
            assert!(Frame::default().advance(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(Frame::default().advance(&[b'+'; MAX_LINE]).is_err());
        assert!(Frame::default().advance(&b"*1\r\n".repeat(MAX_DEPTH + 1)).is_err());
    }

    /// Bytes that are a reply, or almost one.
    pub(in super::super) fn near_replies() -> impl Strategy<Value = Vec<u8>> {
        let text = || proptest::collection::vec(prop_oneof!["[a-z0-9 ]", "\r", "\n"], 0..6);
        let scalar = prop_oneof![
            text().prop_map(|it| format!("+{}\r\n", it.concat())),
            text().prop_map(|it| format!("-{}\r\n", it.concat())),
            any::<i64>().prop_map(|it| format!(":{it}\r\n")),
            text().prop_map(|it| format!("${}\r\n{}\r\n", it.concat().len(), it.concat())),
            (-2..9_i32, text())
                .prop_map(|(length, it)| format!("${length}\r\n{}\r\n", it.concat())),
            (-2..3_i32).prop_map(|length| format!("*{length}\r\n")),
        ];
        let reply = scalar.prop_recursive(4, 24, 4, |inner| {
            proptest::collection::vec(inner, 0..4)
                .prop_map(|items| format!("*{}\r\n{}", items.len(), items.concat()))
        });
        let change = (any::<Index>(), proptest::sample::select(b"\r\n$*+-:09x"));
        (reply, proptest::option::of(change)).prop_map(|(reply, change)| {
            let mut bytes = reply.into_bytes();
            if let Some((at, byte)) = change {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// However a reply is cut into pieces, its end is found at the same place.
        #[test]
        fn end_does_not_depend_on_how_the_reply_arrives(bytes in near_replies(), step in 1..9_usize) {
            let at_once = Frame::default().advance(&bytes).ok().flatten();
            let mut frame = Frame::default();
            let pieces = (0..bytes.len()).step_by(step).chain([bytes.len()]);
            let found = pieces.map(|length| frame.advance(&bytes[..length]));
            let found = found.take_while(Result::is_ok).find_map(Result::unwrap);
            prop_assert_eq!(found, at_once);
        }
    }
}
