//! The part of Redis' protocol that the simulation needs: packed commands in, replies out.

use redis::Value;

/// A command's name and arguments.
pub(super) type Command = Vec<Vec<u8>>;

/// The reply to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
}

impl Reply {
    pub(super) fn ok() -> Self {
        Self::Status("OK".into())
    }

    pub(super) fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    pub(super) fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap())
    }

    pub(super) fn bulk(bytes: Option<&Vec<u8>>) -> Self {
        bytes.map_or(Self::Nil, |it| Self::Bulk(it.clone()))
    }

    /// The value that the crate `redis` would parse from it.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Status(text) if text == "OK" => Value::Okay,
            Self::Status(text) => Value::SimpleString(text),
            Self::Error(text) => {
                redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap()
            }
            Self::Int(number) => Value::Int(number),
            Self::Bulk(bytes) => Value::BulkString(bytes),
            Self::Nil => Value::Nil,
            Self::Array(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
        }
    }
}

/// Reads commands as clients pack them: arrays of bulk strings.
pub(super) fn parse(mut packed: &[u8]) -> Vec<Command> {
    let mut commands = Vec::new();
    while !packed.is_empty() {
        let length = number(&mut packed, b'*');
        commands.push((0..length).map(|_| bulk(&mut packed)).collect());
    }
    commands
}

fn number(packed: &mut &[u8], sign: u8) -> usize {
    let end = packed.iter().position(|byte| *byte == b'\r').unwrap();
    assert_eq!(packed[0], sign, "a client packs arrays of bulk strings");
    let number = std::str::from_utf8(&packed[1..end]).unwrap().parse().unwrap();
    *packed = &packed[end + 2..];
    number
}

fn bulk(packed: &mut &[u8]) -> Vec<u8> {
    let length = number(packed, b'$');
    let (bytes, rest) = packed.split_at(length);
    *packed = &rest[2..];
    bytes.to_vec()
}
