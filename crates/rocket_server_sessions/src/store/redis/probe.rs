//! Checks step by step what sessions need of Redis. The first step that fails shows the cause.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use redis::{Cmd, RedisError, Value, cmd};

use super::address::Address;
use super::connect_error::{ConnectError, describe_connect};
use super::connection::Connection;
use super::remedy::{MIN_VERSION, REPLICA, TOO_OLD, advised, missing_rights, remedy};
use super::settings::RedisSettings;
use super::topology::Topology;
use crate::finding::{Finding, Verdict};
use crate::id::PublicId;

/// How long one step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);

/// The number of round trips that are measured.
const PINGS: usize = 5;

impl RedisSettings {
    /// Checks the servers in the settings.
    pub(crate) fn probe(&self) -> Vec<Finding> {
        let mut probe = Probe { prefix: &self.prefix, findings: Vec::new() };
        match Topology::parse(self) {
            Ok(topology) => probe.run(topology),
            Err(error) => probe.failed("settings", format!("`session.{}` {error}", error.key())),
        }
        probe.findings
    }
}

fn deadline() -> Instant {
    Instant::now() + STEP_TIMEOUT
}

/// Why a command was refused.
enum Lack {
    Right,
    Other(String),
}

struct Probe<'s> {
    prefix: &'s str,
    findings: Vec<Finding>,
}

impl Probe<'_> {
    fn ok(&mut self, what: &'static str, text: String) {
        self.findings.push(Finding::new(Verdict::Ok, what, text));
    }

    fn failed(&mut self, what: &'static str, text: String) {
        self.findings.push(Finding::new(Verdict::Failed, what, text));
    }

    fn run(&mut self, topology: Topology) {
        match topology {
            Topology::Server(address) => {
                if let Some(connection) = self.connect(&address) {
                    self.try_sessions(connection, None);
                }
            }
            Topology::Cluster(seeds) => {
                let connections: Vec<_> = seeds.iter().map(|seed| self.connect(seed)).collect();
                let mut answering =
                    seeds.iter().zip(connections).filter_map(|(seed, it)| Some((seed, it?)));
                if let Some((seed, connection)) = answering.next() {
                    self.try_sessions(connection, Some(seed));
                }
            }
            Topology::Master(sentinels) => {
                for address in sentinels.addresses() {
                    self.connect(&address);
                }
                match sentinels.open_master(deadline()) {
                    Ok(connection) => self.try_sessions(connection, None),
                    Err(ConnectError(why)) => self.failed("master", why),
                }
            }
        }
    }

    /// Looks the host up, connects, does the TLS handshake and authenticates.
    fn connect(&mut self, address: &Address) -> Option<Connection> {
        if address.host.parse::<IpAddr>().is_err() && !self.resolve(address) {
            return None;
        }
        let place = format!("{}:{}", address.host, address.port);
        let begun = Instant::now();
        let mut connection = match Connection::connect(address, deadline()) {
            Ok(connection) => connection,
            Err(error) if error.is_timeout() => {
                let text = format!(
                    "{place} does not answer in time; check the host, the port and firewalls: a \
                     private address needs a route into its VPC"
                );
                self.failed("connection", text);
                return None;
            }
            Err(error) => {
                self.failed("connection", describe_connect(&error, address).to_string());
                return None;
            }
        };
        self.ok("connection", format!("{place}{}", took(begun)));
        // Before authentication, because any reply shows that the protocols match.
        let begun = Instant::now();
        let step = if address.tls.is_some() { "TLS" } else { "answer" };
        match connection.ping(deadline()) {
            Err(error) if error.code().is_none() => {
                self.failed(step, hung(&error, address));
                return None;
            }
            _ if address.tls.is_some() => {
                self.ok(step, format!("the certificate is valid{}", took(begun)));
            }
            _ => {}
        }
        let login = match (&address.username, &address.password) {
            (Some(_), _) => "user and password are accepted",
            (None, Some(_)) => "the password is accepted",
            (None, None) => "without a password",
        };
        match connection.greet(address, deadline()) {
            Ok(()) => self.ok("authentication", login.to_owned()),
            Err(error) => {
                self.failed("authentication", hung(&error, address));
                return None;
            }
        }
        Some(connection)
    }

    fn resolve(&mut self, address: &Address) -> bool {
        let begun = Instant::now();
        let Address { host, port, .. } = address;
        let found = (host.as_str(), *port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        match found {
            Ok(found) if !found.is_empty() => {
                let found: Vec<_> = found.iter().map(|it| it.ip().to_string()).collect();
                self.ok("DNS", format!("{host} is {}{}", found.join(", "), took(begun)));
                true
            }
            Ok(_) => {
                self.failed("DNS", format!("{host} has no address; check the host in `url`"));
                false
            }
            Err(error) => {
                let text = format!("{host} is not found: {error}; check the host in `url`");
                self.failed("DNS", text);
                false
            }
        }
    }

    /// Checks the server that has the probe's key.
    fn try_sessions(&mut self, mut connection: Connection, cluster: Option<&Address>) {
        if !self.version(&mut connection) {
            return;
        }
        let probe_id = PublicId::new(std::time::SystemTime::now());
        let key = format!("{}{{{probe_id}}}:check", self.prefix);
        if let Some(seed) = cluster {
            // A command with the key is redirected to the key's owner.
            let asked = connection.ask(cmd("EXISTS").arg(&key), deadline());
            let moved = asked.err();
            let owner = moved.as_ref().and_then(RedisError::redirect_node);
            if let Some((host, port)) = owner.and_then(|(place, _)| split(place)) {
                let Some(owner) = seed.at(&host, port) else {
                    self.failed("cluster", format!("{host} is not a valid TLS server name"));
                    return;
                };
                match self.connect(&owner) {
                    Some(owner) => connection = owner,
                    None => return,
                }
            }
        }
        self.round_trip(&mut connection);
        self.rights(&mut connection, &key, cluster.is_some());
    }

    /// Whether the server can hold sessions.
    fn version(&mut self, connection: &mut Connection) -> bool {
        let about = match connection.ask(cmd("HELLO").arg(2), deadline()) {
            Ok(about) => about,
            Err(error) => {
                self.failed("version", refused("HELLO", &error));
                return false;
            }
        };
        let about: HashMap<String, Value> = redis::from_redis_value(about).unwrap_or_default();
        let text = |key: &str| {
            let value = about.get(key).cloned().unwrap_or(Value::Nil);
            redis::from_redis_value::<String>(value).unwrap_or_default()
        };
        let (server, version, role) = (text("server"), text("version"), text("role"));
        let mut numbers = version.split('.').map(|it| it.parse().unwrap_or_default());
        let number = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        if server == "redis" && number < MIN_VERSION {
            self.failed("version", advised(format!("Redis {version}"), Some(TOO_OLD)));
        } else if role == "replica" || role == "slave" {
            self.failed("version", advised(format!("{server} {version}"), Some(REPLICA)));
        } else {
            self.ok("version", format!("{server} {version}"));
            return true;
        }
        false
    }

    /// Queues each command that sessions need in a transaction that is never executed. A server
    /// checks rights, memory and slots when a command is queued, so no key is written and no script
    /// runs.
    fn rights(&mut self, connection: &mut Connection, key: &str, is_cluster: bool) {
        let mut missing = Vec::new();
        let of_clusters = is_cluster.then(needed_in_cluster);
        let commands = of_clusters.into_iter().flatten().chain(needed(key));
        for (name, command) in commands {
            let Err(error) = connection.ask(&command, deadline()) else { continue };
            match self.lack(name, &error) {
                Lack::Right => missing.push(name),
                Lack::Other(text) => {
                    self.failed("rights", text);
                    return;
                }
            }
            if name == "MULTI" {
                // Without a transaction, the commands would be executed.
                missing.extend(needed(key).iter().map(|(name, _)| *name).filter(|it| *it != name));
                break;
            }
        }
        if missing.is_empty() {
            self.ok("rights", "every command that sessions need is allowed".to_owned());
        } else {
            self.failed("rights", missing_rights(&missing));
        }
    }

    /// Interprets an error of a command.
    fn lack(&self, name: &str, error: &RedisError) -> Lack {
        let text = error.to_string();
        match error.code() {
            // A missing right for EXEC is reported this way.
            Some("EXECABORT") if text.contains("NOPERM") => Lack::Right,
            Some("NOPERM") if text.contains("command") => Lack::Right,
            Some("NOPERM") => Lack::Other(format!(
                "the user may not use keys that begin with `{0}`: give it `~{0}*`",
                self.prefix
            )),
            Some("ERR") if text.to_lowercase().contains("unknown command") => Lack::Right,
            _ => Lack::Other(refused(name, error)),
        }
    }

    fn round_trip(&mut self, connection: &mut Connection) {
        let mut times: Vec<_> = (0..PINGS)
            .filter_map(|_| {
                let begun = Instant::now();
                connection.ping(deadline()).ok().map(|()| begun.elapsed())
            })
            .collect();
        times.sort();
        match times.get(times.len() / 2) {
            Some(time) => self.ok("round trip", millis(*time)),
            None => self.failed("round trip", "it has stopped answering".to_owned()),
        }
    }
}

/// Describes why a command fails.
fn refused(name: &str, error: &RedisError) -> String {
    let Some(code) = error.code() else {
        return format!("there is no reply to {name}: {error}");
    };
    let remedy = remedy(code, error.detail().unwrap_or_default());
    advised(format!("{name} fails with {code}"), remedy)
}

/// Explains a timeout after connecting.
fn hung(error: &RedisError, address: &Address) -> String {
    let text = describe_connect(error, address).to_string();
    if error.is_timeout() && address.tls.is_none() {
        format!("{text}; the connection is open, but the server is silent: is it stopped or busy?")
    } else {
        text
    }
}

/// The commands, with the right that each needs. The last transaction stays open until the
/// connection is closed.
fn needed(key: &str) -> Vec<(&'static str, Cmd)> {
    let other = format!("{key}:other");
    let command = |name: &'static str, args: &[&str]| (name, cmd(name).arg(args).take());
    vec![
        command("MULTI", &[]),
        command("EXEC", &[]),
        command("MULTI", &[]),
        command("HSET", &[key, "a", "1"]),
        command("HGET", &[key, "a"]),
        command("HMGET", &[key, "a", "b"]),
        command("HGETALL", &[key]),
        command("HINCRBY", &[key, "a", "1"]),
        command("HDEL", &[key, "a"]),
        command("EXPIRE", &[key, "1"]),
        command("EXISTS", &[key]),
        command("EVAL", &["return 0", "1", key]),
        command("SET", &[key, "", "NX", "EX", "1"]),
        command("RENAME", &[key, &other]),
        command("DEL", &[key]),
        command("GET", &[key]),
    ]
}

fn needed_in_cluster() -> [(&'static str, Cmd); 2] {
    [("CLUSTER|SLOTS", cmd("CLUSTER").arg("SLOTS").take()), ("ASKING", cmd("ASKING"))]
}

/// Reads `host:port` as a cluster writes it: with or without brackets around an IPv6 address.
fn split(place: &str) -> Option<(String, u16)> {
    let (host, port) = place.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
}

fn took(begun: Instant) -> String {
    format!(" ({})", millis(begun.elapsed()))
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
