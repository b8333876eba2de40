//! Bytes that come in, taken apart into replies.
//!
//! redis-rs parses them. Its parser gets one whole reply at a time and nothing beyond, so a reply
//! that nobody has asked for is noticed, and one that would fill the memory is skipped.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis::{Parser, Value};

use super::framing::Frame;

/// What the buffer keeps of its memory when it is empty.
const KEPT: usize = 64 << 10;

/// Received bytes, and how far they have been read.
#[derive(Default)]
pub(super) struct Decoder {
    inbox: Vec<u8>,
    /// Where the reply begins that is read next.
    start: usize,
    frame: Frame,
    parser: Parser,
}

/// A reply that was received and cannot be handed on. Its end is known, so others are not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    TooLarge,
    Malformed,
}

impl Decoder {
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Returns the next reply, if it has come as a whole.
    ///
    /// # Errors
    ///
    /// What was received is not a reply: the end of this one, and so the beginning of the next, is
    /// unknown.
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
            parse(&mut self.parser, reply)
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

    /// Whether a reply is on its way that is too large.
    pub(super) fn is_skipping(&self) -> bool {
        self.frame.is_too_large()
    }
}

/// The parser is made for servers that keep to the protocol: others must not make it panic here.
fn parse(parser: &mut Parser, reply: &[u8]) -> Result<Value, Unreadable> {
    if let Ok(Ok(value)) = catch_unwind(AssertUnwindSafe(|| parser.parse_value(reply))) {
        return Ok(value);
    }
    *parser = Parser::new();
    Err(Unreadable::Malformed)
}

#[cfg(test)]
mod tests {
    use super::super::framing::MAX_REPLY;
    use super::*;

    #[test]
    fn replies_come_one_by_one_and_what_is_left_is_noticed() {
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
