//! Splits received bytes into replies.
//!
//! The parser gets exactly one whole reply at a time, so unsolicited replies are detected and
//! oversized ones are skipped.

use std::io;

use redis::Value;

use super::framing::Frame;
use super::parser::parse;

/// The capacity that an empty buffer keeps.
const KEPT: usize = 64 << 10;

/// Received bytes, and the position up to which they were read.
#[derive(Default)]
pub(super) struct Decoder {
    inbox: Vec<u8>,
    /// The start of the next reply.
    start: usize,
    frame: Frame,
}

/// A reply that cannot be parsed. Its end is known, so the next replies are not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    TooLarge,
    Malformed,
}

impl Decoder {
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Returns the next reply, if it is complete.
    ///
    /// # Errors
    ///
    /// If the received bytes are not a reply. The start of the next reply is then unknown.
    pub(super) fn next_reply(&mut self) -> io::Result<Option<Result<Value, Unreadable>>> {
        let Some(end) = self.frame.advance(&self.inbox[self.start..])? else {
            self.inbox.drain(..self.start);
            self.start = 0;
            if self.frame.is_too_large() {
                self.frame.discard(&mut self.inbox);
            }
            return Ok(None);
        };
        let reply = &self.inbox[self.start..self.start + end];
        let value = if self.frame.is_too_large() {
            Err(Unreadable::TooLarge)
        } else {
            parse(reply).ok_or(Unreadable::Malformed)
        };
        self.frame.restart();
        self.start += end;
        if self.start == self.inbox.len() {
            self.inbox.clear();
            self.inbox.shrink_to(KEPT);
            self.start = 0;
        }
        Ok(Some(value))
    }

    /// Whether everything received has been returned.
    pub(super) fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Whether an oversized reply is being received.
    pub(super) fn is_skipping(&self) -> bool {
        self.frame.is_too_large()
    }
}

#[cfg(test)]
mod tests {
    use super::super::framing::MAX_REPLY;
    use super::*;

    #[test]
    fn replies_are_returned_one_by_one_and_surplus_bytes_are_detected() {
        let mut decoder = Decoder::default();
        decoder.extend(b":1\r\n+O");
        assert_eq!(decoder.next_reply().unwrap(), Some(Ok(Value::Int(1))));
        assert_eq!(decoder.next_reply().unwrap(), None);
        assert!(!decoder.is_empty());
        decoder.extend(b"K\r\n");
        assert_eq!(decoder.next_reply().unwrap(), Some(Ok(Value::Okay)));
        assert!(decoder.is_empty());
    }

    #[test]
    fn reply_that_cannot_be_read_does_not_affect_the_next() {
        let mut decoder = Decoder::default();
        decoder.extend(b":x\r\n+\xff\r\n:2\r\n");
        for expected in [Err(Unreadable::Malformed), Err(Unreadable::Malformed), Ok(Value::Int(2))]
        {
            assert_eq!(decoder.next_reply().unwrap(), Some(expected));
        }
        decoder.extend(format!("${MAX_REPLY}\r\n").as_bytes());
        for _ in 0..MAX_REPLY >> 20 {
            assert_eq!(decoder.next_reply().unwrap(), None);
            assert!(decoder.is_skipping() && decoder.inbox.len() <= 1 << 20);
            decoder.extend(&vec![b'x'; 1 << 20]);
        }
        decoder.extend(b"\r\n:3\r\n");
        assert_eq!(decoder.next_reply().unwrap(), Some(Err(Unreadable::TooLarge)));
        assert_eq!(decoder.next_reply().unwrap(), Some(Ok(Value::Int(3))));
    }
}
