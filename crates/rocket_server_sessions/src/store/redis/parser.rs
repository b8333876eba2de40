//! Parses a whole reply.
//!
//! The parser of redis-rs can resume in the middle of a reply. For that, it copies each reply to a
//! buffer of 8 KiB. [`framing`](super::framing) has already found the end of the reply, so this
//! parser needs no buffer.

use redis::{Value, parse_redis_value};

use super::framing::number;

/// Parses a reply whose end was found. `None` if a part of it is malformed, such as a number.
pub(super) fn parse(mut reply: &[u8]) -> Option<Value> {
    value(&mut reply).filter(|_| reply.is_empty())
}

/// Takes a value off the start of `rest`.
fn value(rest: &mut &[u8]) -> Option<Value> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, after) = rest.split_at(end + 1);
    *rest = after;
    let (kind, text) = line.strip_suffix(b"\r\n")?.split_first()?;
    match kind {
        b'$' | b'*' if text == b"-1" => Some(Value::Nil),
        b'$' => {
            let (text, after) = rest.split_at_checked(number(text).ok()?)?;
            *rest = after.strip_prefix(b"\r\n")?;
            Some(Value::BulkString(text.to_vec()))
        }
        b'*' => {
            // The frame's limit bounds this.
            let length = number(text).ok()?;
            let mut items = Vec::with_capacity(length);
            for _ in 0..length {
                items.push(value(rest)?);
            }
            Some(Value::Array(items))
        }
        b':' => Some(Value::Int(std::str::from_utf8(text).ok()?.trim().parse().ok()?)),
        b'+' if text == b"OK" => Some(Value::Okay),
        b'+' => Some(Value::SimpleString(std::str::from_utf8(text).ok()?.to_owned())),
        // Only redis-rs can make the value of an error.
        _ => parse_redis_value(line).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis::Parser;

    use super::super::framing::Frame;
    use super::super::framing::tests::near_replies;
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// If the two disagreed about the end, replies would be assigned to the wrong requests.
        #[test]
        fn redis_rs_consumes_a_reply_exactly_to_its_end_and_reads_the_same_value(
            bytes in near_replies(),
        ) {
            if let Ok(Some(end)) = Frame::default().advance(&bytes) {
                let both = [&bytes[..end], b"+next\r\n"].concat();
                let mut reader = both.as_slice();
                let mut parser = Parser::new();
                // A reply that cannot be parsed, such as an invalid number, fails only its own
                // request.
                let theirs = parser.parse_value(&mut reader).ok();
                prop_assert_eq!(parse(&bytes[..end]), theirs.clone());
                if theirs.is_some() {
                    let next = Value::SimpleString("next".to_owned());
                    prop_assert_eq!(parser.parse_value(&mut reader).unwrap(), next);
                }
            }
        }
    }
}
