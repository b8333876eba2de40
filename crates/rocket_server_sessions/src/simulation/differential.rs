//! Compares the simulated Redis with a real one: the same commands must get the same replies.

use std::time::{Duration, Instant};

use redis::{ConnectionLike as _, Value};
use test_support::RedisServer;

use super::random::Random;
use super::reply::Command;
use super::server::{Connection, Server};

const SEQUENCES: u64 = 150;
const COMMANDS: u64 = 60;

/// Short scripts that do what the crate's scripts do.
const SCRIPTS: [&str; 9] = [
    "return redis.call('HGET', KEYS[1], ARGV[1])",
    "local held = redis.pcall('HGET', KEYS[1], ARGV[1]) \
     if type(held) == 'table' and held.err then return redis.error_reply('CONFLICT ' .. held.err) end \
     return {held, ARGV[1], 3.7, true, false, 5, nil, 6}",
    "if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return redis.status_reply('gone') end \
     redis.call('RENAME', KEYS[1], KEYS[2]) redis.call('SET', KEYS[1], 'rotated', 'EX', 30) \
     return redis.call('HGETALL', KEYS[2])",
    "local gone = redis.call('DEL', KEYS[1]) redis.pcall('SET', KEYS[1], 'destroyed', 'EX', '30') \
     return gone",
    "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('HINCRBY', KEYS[1], ARGV[1], 1) \
     return redis.call('EXPIRE', KEYS[1], 100)",
    "local sum = 0 for at, pair in ipairs(redis.call('HGETALL', KEYS[1])) do sum = sum + #pair end \
     return sum",
    "return redis.error_reply('lonely')",
    "return {1, {2, {ok = 'fine'}}, {err = 'ODD one'}, redis.call('PTTL', KEYS[1]) < 0}",
    "return redis.call('HMGET', KEYS[1], ARGV[1], '@id', ARGV[2])",
];

const KEYS: [&str; 3] = ["{k}:a", "{k}:b", "{k}:c"];
const FIELDS: [&str; 3] = ["@id", "f", "g"];
const VALUES: [&str; 8] = ["1", "-7", "9223372036854775807", "x", "01", "+1", "", "1.5"];

fn command(random: &mut Random) -> Command {
    let key = *random.pick(&KEYS);
    let field = *random.pick(&FIELDS);
    let value = *random.pick(&VALUES);
    let seconds = *random.pick(&["100", "1000", "x"]);
    let words: Vec<&str> = match random.below(32) {
        0..3 => vec!["HSET", key, field, value],
        3 => vec!["HSET", key, field, value, *random.pick(&FIELDS), "2"],
        4 => vec!["HSET", key, field, value, "odd"],
        5 => vec!["HGET", key, field],
        6 => vec!["HGETALL", key],
        7 => vec!["HMGET", key, field, "@id", "none"],
        8 => vec!["HINCRBY", key, field, *random.pick(&["1", "-1", value])],
        9 => vec!["HDEL", key, field, *random.pick(&FIELDS)],
        10 => vec!["EXPIRE", key, seconds],
        11 => vec!["EXPIRE", key, seconds, *random.pick(&["NX", "XX", "QQ"])],
        12 => vec!["EXPIRE", key, *random.pick(&["0", "-1"])],
        13 => vec!["SET", key, value],
        14 => vec!["SET", key, value, *random.pick(&["NX", "XX"]), "EX", seconds],
        15 => vec!["SET", key, value, "EX", *random.pick(&["30", "0", "y"])],
        16 => vec!["SET", key, value, *random.pick(&["EX", "NX", "PERHAPS"]), "XX"],
        17 => vec!["GET", key],
        18 => vec![*random.pick(&["DEL", "UNLINK"]), key],
        19 => vec!["EXISTS", key, "{k}:a"],
        20 => vec!["RENAME", key, *random.pick(&KEYS)],
        21 => vec!["TYPE", key],
        22 => vec![*random.pick(&["TTL", "PTTL"]), key],
        23 => vec!["HEXISTS", key, field],
        24 => vec!["HLEN", key],
        25 => vec!["HGET", key],
        26 => vec!["MULTI"],
        27 | 28 => vec!["EXEC"],
        29 => vec!["PING"],
        _ => {
            let other = *random.pick(&KEYS);
            vec!["EVAL", *random.pick(&SCRIPTS), "2", key, other, field, value]
        }
    };
    words.into_iter().map(|it| it.as_bytes().to_vec()).collect()
}

/// A reply as text, without what may differ: fractions of a second, and the position of an error in
/// a script.
fn said(reply: Value) -> String {
    match reply {
        Value::ServerError(error) => {
            let details = error.details().unwrap_or_default();
            format!("-{} {}", error.code(), details.split(" script: ").next().unwrap_or_default())
        }
        // Times to live: the real clock keeps running.
        Value::Int(number) if number > 20_000 && number <= 1_000_000 => {
            format!(":{}", (number + 999) / 1000 * 1000)
        }
        Value::Array(items) => format!("{:?}", items.into_iter().map(said).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}

/// Runs the same commands on both.
struct Pair {
    real: redis::Connection,
    simulated: Server,
    connection: Connection,
    trail: Vec<String>,
}

impl Pair {
    fn new(server: &RedisServer) -> Self {
        let mut real = server.connect();
        redis::cmd("FLUSHALL").exec(&mut real).unwrap();
        let connection = Connection::default();
        Self { real, simulated: Server::new(), connection, trail: Vec::new() }
    }

    fn run(&mut self, command: Command) {
        let words = command.iter().map(|it| String::from_utf8_lossy(it)).collect::<Vec<_>>();
        self.trail.push(words.join(" "));
        let mut packed = redis::Cmd::new();
        packed.arg(&command);
        let real = match self.real.req_packed_command(&packed.get_packed_command()) {
            Ok(value) => value,
            Err(error) => Value::ServerError(error.try_into().expect("the server answers")),
        };
        let simulated = self.simulated.execute(&mut self.connection, command).into_value();
        let trail = self.trail.join("\n");
        assert_eq!(said(simulated), said(real), "after\n{trail}");
    }
}

#[test]
fn simulated_redis_replies_like_a_real_one() {
    let server = RedisServer::start();
    for seed in 0..SEQUENCES {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(&server);
        for _ in 0..COMMANDS {
            pair.run(command(&mut random));
        }
    }
}

#[test]
fn simulated_redis_without_memory_refuses_the_same_commands_as_a_real_one() {
    let server = RedisServer::start();
    for seed in 0..SEQUENCES {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(&server);
        for at in 0..COMMANDS {
            let is_full = at >= COMMANDS / 2;
            if at == COMMANDS / 2 {
                set_limit(&mut pair, "1");
            }
            pair.simulated.keyspace.borrow_mut().is_full = is_full;
            pair.run(command(&mut random));
        }
        set_limit(&mut pair, "0");
    }
}

/// Ends a transaction first, which would queue the command.
fn set_limit(pair: &mut Pair, bytes: &str) {
    pair.run(vec![b"MULTI".to_vec()]);
    pair.run(vec![b"EXEC".to_vec()]);
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).exec(&mut pair.real).unwrap();
}

#[test]
fn keys_expire_in_simulated_redis_when_they_do_in_a_real_one() {
    let server = RedisServer::start();
    let mut pair = Pair::new(&server);
    let words = |text: &str| text.split(' ').map(|it| it.as_bytes().to_vec()).collect::<Command>();
    for text in ["SET {k}:a x EX 1", "HSET {k}:b f 1", "EXPIRE {k}:b 1", "HSET {k}:c f 1"] {
        pair.run(words(text));
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1010) {
        std::thread::sleep(Duration::from_millis(30));
    }
    pair.simulated.keyspace.borrow_mut().advance(1010);
    for text in ["EXISTS {k}:a {k}:b {k}:c", "GET {k}:a", "HGETALL {k}:b", "TTL {k}:a", "TTL {k}:c"]
    {
        pair.run(words(text));
    }
}
