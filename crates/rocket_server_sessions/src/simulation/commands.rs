//! The commands of Redis that sessions use.

use super::keyspace::{Data, Entry, Keyspace, WrongType};
use super::reply::{Command, Reply};

pub(super) fn name(command: &Command) -> String {
    String::from_utf8_lossy(&command[0]).to_uppercase()
}

/// The commands and their arity, which counts the name. As in Redis, a negative arity is a minimum.
const ARITIES: [(&str, i64); 23] = [
    ("DEL", -2),
    ("EVAL", -3),
    ("EXISTS", -2),
    ("EXPIRE", -3),
    ("GET", 2),
    ("HDEL", -3),
    ("HEXISTS", 3),
    ("HGET", 3),
    ("HGETALL", 2),
    ("HINCRBY", 4),
    ("HLEN", 2),
    ("HMGET", -3),
    ("HSET", -4),
    ("PERSIST", 2),
    ("PING", -1),
    ("PTTL", 2),
    ("RENAME", 3),
    ("SET", -3),
    ("STRLEN", 2),
    ("TTL", 2),
    ("TYPE", 2),
    ("UNLINK", -2),
    ("HSETNX", 4),
];

/// The keys of a command.
pub(super) fn keys(command: &Command) -> &[Vec<u8>] {
    match name(command).as_str() {
        "MULTI" | "EXEC" | "PING" => &[],
        "EVAL" => {
            let count = std::str::from_utf8(&command[2]).ok().and_then(|it| it.parse().ok());
            &command[3..3 + count.unwrap_or(0_usize)]
        }
        "DEL" | "UNLINK" | "EXISTS" | "RENAME" => &command[1..],
        _ => &command[1..2],
    }
}

/// The commands that change nothing.
pub(super) const READS: [&str; 14] = [
    "EXEC", "EXISTS", "GET", "HEXISTS", "HGET", "HGETALL", "HLEN", "HMGET", "MULTI", "PING",
    "PTTL", "STRLEN", "TTL", "TYPE",
];

/// Returns an error for a command with the wrong number of arguments. Panics if sessions do not use
/// the command.
pub(super) fn check(command: &Command) -> Option<Reply> {
    let name = name(command);
    let Some((_, arity)) = ARITIES.iter().find(|(known, _)| *known == name) else {
        panic!("the simulated Redis does not know {name}");
    };
    let given = i64::try_from(command.len()).unwrap();
    let is_right = if *arity < 0 { given >= -arity } else { given == *arity };
    let lower = name.to_lowercase();
    (!is_right)
        .then(|| Reply::error(format!("ERR wrong number of arguments for '{lower}' command")))
}

/// Refuses a command that needs memory, if memory is full.
pub(super) fn out_of_memory(name: &str, is_full: bool) -> Option<Reply> {
    let is_refused = is_full && ["HSET", "HSETNX", "HINCRBY", "SET"].contains(&name);
    is_refused.then(|| Reply::error(FULL))
}

pub(super) const FULL: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const NO_INTEGER: &str = "ERR value is not an integer or out of range";
const SYNTAX: &str = "ERR syntax error";

impl From<WrongType> for Reply {
    fn from(_: WrongType) -> Self {
        Self::error(WRONG_TYPE)
    }
}

/// Executes one command that [`check`] has accepted.
pub(super) fn run(keyspace: &mut Keyspace, command: &Command) -> Reply {
    try_run(keyspace, command).unwrap_or_else(|error| error)
}

fn try_run(keyspace: &mut Keyspace, command: &Command) -> Result<Reply, Reply> {
    let arguments = &command[1..];
    let key = arguments.first().map(Vec::as_slice).unwrap_or_default();
    Ok(match name(command).as_str() {
        "PING" => Reply::Status("PONG".into()),
        "GET" => Reply::bulk(keyspace.text(key)?),
        "STRLEN" => Reply::count(keyspace.text(key)?.map_or(0, Vec::len)),
        "SET" => set(keyspace, arguments)?,
        "DEL" | "UNLINK" => {
            Reply::count(arguments.iter().filter(|key| keyspace.remove(key).is_some()).count())
        }
        "EXISTS" => {
            Reply::count(arguments.iter().filter(|key| keyspace.get(key).is_some()).count())
        }
        "RENAME" => {
            let entry = keyspace.remove(key).ok_or_else(|| Reply::error("ERR no such key"))?;
            keyspace.insert(&arguments[1], entry);
            Reply::ok()
        }
        "TYPE" => Reply::Status(
            match keyspace.get(key).map(|entry| &*entry.data) {
                None => "none",
                Some(Data::Text(_)) => "string",
                Some(Data::Hash(_)) => "hash",
            }
            .into(),
        ),
        "EXPIRE" => expire(keyspace, arguments)?,
        "PERSIST" => {
            let before = keyspace.get_mut(key).and_then(|entry| entry.expires.take());
            Reply::Int(before.is_some().into())
        }
        "TTL" => ttl(keyspace, key, |rest| (rest + 500) / 1000),
        "PTTL" => ttl(keyspace, key, |rest| rest),
        "HSET" => {
            if arguments.len().is_multiple_of(2) {
                return Err(Reply::error("ERR wrong number of arguments for 'hset' command"));
            }
            let mut new = 0;
            for pair in arguments[1..].chunks(2) {
                new += i64::from(keyspace.set_field(key, &pair[0], pair[1].clone())?);
            }
            Reply::Int(new)
        }
        "HSETNX" => {
            let is_new = keyspace.field(key, &arguments[1])?.is_none();
            if is_new {
                keyspace.set_field(key, &arguments[1], arguments[2].clone())?;
            }
            Reply::Int(is_new.into())
        }
        "HGET" => Reply::bulk(keyspace.field(key, &arguments[1])?),
        "HEXISTS" => Reply::Int(keyspace.field(key, &arguments[1])?.is_some().into()),
        "HLEN" => Reply::count(keyspace.hash(key)?.len()),
        "HMGET" => {
            let mut values = Vec::with_capacity(arguments.len());
            for name in &arguments[1..] {
                values.push(Reply::bulk(keyspace.field(key, name)?));
            }
            Reply::Array(values)
        }
        "HGETALL" => {
            let pairs = keyspace.hash(key)?.iter().flat_map(|(name, value)| [name, value]);
            Reply::Array(pairs.map(|it| Reply::Bulk(it.clone())).collect())
        }
        "HDEL" => {
            let mut gone = 0;
            keyspace.hash(key)?;
            for name in &arguments[1..] {
                gone += i64::from(keyspace.remove_field(key, name)?);
            }
            Reply::Int(gone)
        }
        "HINCRBY" => increment(keyspace, arguments)?,
        other => panic!("the simulated Redis does not know {other}"),
    })
}

fn set(keyspace: &mut Keyspace, arguments: &[Vec<u8>]) -> Result<Reply, Reply> {
    let (mut if_absent, mut if_present, mut expires) = (false, false, None);
    let mut options = arguments[2..].iter();
    while let Some(option) = options.next() {
        match option.to_ascii_uppercase().as_slice() {
            b"NX" => if_absent = true,
            b"XX" => if_present = true,
            b"EX" if expires.is_none() => {
                let seconds = options.next().ok_or_else(|| Reply::error(SYNTAX))?;
                expires = Some(integer(seconds).ok_or_else(|| Reply::error(NO_INTEGER)));
            }
            _ => return Err(Reply::error(SYNTAX)),
        }
    }
    if if_absent && if_present {
        return Err(Reply::error(SYNTAX));
    }
    let expires = match expires.transpose()? {
        Some(seconds) if seconds <= 0 => {
            return Err(Reply::error("ERR invalid expire time in 'set' command"));
        }
        seconds => seconds.map(|it| keyspace.now() + u64::try_from(it).unwrap() * 1000),
    };
    let is_there = keyspace.get(&arguments[0]).is_some();
    if (if_absent && is_there) || (if_present && !is_there) {
        return Ok(Reply::Nil);
    }
    keyspace
        .insert(&arguments[0], Entry { data: Data::Text(arguments[1].clone()).into(), expires });
    Ok(Reply::ok())
}

fn expire(keyspace: &mut Keyspace, arguments: &[Vec<u8>]) -> Result<Reply, Reply> {
    let option = arguments.get(2).map(|it| it.to_ascii_uppercase()).unwrap_or_default();
    let is_due: fn(Option<i64>, i64) -> bool = match option.as_slice() {
        b"" => |_, _| true,
        b"NX" => |before, _| before.is_none(),
        b"XX" => |before, _| before.is_some(),
        b"GT" => |before, at| before.is_some_and(|before| at > before),
        b"LT" => |before, at| before.is_none_or(|before| at < before),
        other => {
            let other = String::from_utf8_lossy(other).into_owned();
            return Err(Reply::error(format!("ERR Unsupported option {other}")));
        }
    };
    let seconds = integer(&arguments[1]).ok_or_else(|| Reply::error(NO_INTEGER))?;
    let now = keyspace.now();
    let Some(entry) = keyspace.get_mut(&arguments[0]) else { return Ok(Reply::Int(0)) };
    let at = i64::try_from(now).unwrap() + seconds * 1000;
    let is_done = is_due(entry.expires.map(|it| i64::try_from(it).unwrap()), at);
    if is_done {
        match u64::try_from(at) {
            Ok(at) if at > now => entry.expires = Some(at),
            _ => {
                keyspace.remove(&arguments[0]);
            }
        }
    }
    Ok(Reply::Int(is_done.into()))
}

fn ttl(keyspace: &Keyspace, key: &[u8], unit: impl Fn(u64) -> u64) -> Reply {
    match keyspace.get(key) {
        None => Reply::Int(-2),
        Some(Entry { expires: None, .. }) => Reply::Int(-1),
        Some(Entry { expires: Some(at), .. }) => {
            Reply::Int(i64::try_from(unit(at - keyspace.now())).unwrap())
        }
    }
}

fn increment(keyspace: &mut Keyspace, arguments: &[Vec<u8>]) -> Result<Reply, Reply> {
    let (key, field) = (&arguments[0], &arguments[1]);
    let by = integer(&arguments[2]).ok_or_else(|| Reply::error(NO_INTEGER))?;
    let held = match keyspace.field(key, field)? {
        None => 0,
        Some(text) => {
            integer(text).ok_or_else(|| Reply::error("ERR hash value is not an integer"))?
        }
    };
    let sum = held
        .checked_add(by)
        .ok_or_else(|| Reply::error("ERR increment or decrement would overflow"))?;
    keyspace.set_field(key, field, sum.to_string().into_bytes())?;
    Ok(Reply::Int(sum))
}

/// Reads a number as strictly as Redis does: no plus, no leading zeros, no blanks.
fn integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
