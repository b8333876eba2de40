//! Checks step by step what sessions need of Redis. The first step that fails shows the cause.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime};

use redis::{RedisError, Value, cmd};

use super::address::Address;
use super::connect_error::{ConnectError, describe_connect};
use super::connection::Connection;
use super::remedy::{MIN_VERSION, REPLICA, TOO_OLD, advised, missing_rights, remedy};
use super::rights::{self, Needed};
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
        let key = format!("{}{{{}}}:check", self.prefix, PublicId::new(SystemTime::now()));
        let needed = rights::of_sessions(&self.prefix, &key);
        self.probe_rights(&key, needed)
    }

    /// Checks the servers, and the rights to commands on the server that has a key.
    pub(super) fn probe_rights(&self, key: &str, needed: Vec<Needed>) -> Vec<Finding> {
        let mut probe = Probe { key, needed, findings: Vec::new() };
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
    key: &'s str,
    needed: Vec<Needed>,
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
                    self.try_key(connection, None);
                }
            }
            Topology::Cluster(seeds) => {
                let connections: Vec<_> = seeds.iter().map(|seed| self.connect(seed)).collect();
                let mut answering =
                    seeds.iter().zip(connections).filter_map(|(seed, it)| Some((seed, it?)));
                if let Some((seed, connection)) = answering.next() {
                    self.try_key(connection, Some(seed));
                }
            }
            Topology::Master(sentinels) => {
                for address in sentinels.addresses() {
                    self.connect(&address);
                }
                match sentinels.open_master(deadline()) {
                    Ok(connection) => self.try_key(connection, None),
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

    /// Checks the server that has the key.
    fn try_key(&mut self, mut connection: Connection, cluster: Option<&Address>) {
        if !self.version(&mut connection) {
            return;
        }
        if let Some(seed) = cluster {
            // A command with the key is redirected to the key's owner.
            let asked = connection.ask(cmd("EXISTS").arg(self.key), deadline());
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
        self.rights(&mut connection, cluster.is_some());
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

    /// Queues each command that is needed in a transaction that is never executed. A server
    /// checks rights, memory and slots when a command is queued, so no key is written and no script
    /// runs.
    fn rights(&mut self, connection: &mut Connection, is_cluster: bool) {
        let mut missing = Vec::new();
        let of_clusters = is_cluster.then(rights::of_clusters).into_iter().flatten();
        let own = std::mem::take(&mut self.needed);
        let needed: Vec<_> = of_clusters.chain(rights::transaction()).chain(own).collect();
        for (at, it) in needed.iter().enumerate() {
            let Err(error) = connection.ask(&it.command, deadline()) else { continue };
            match lack(it, &error) {
                Lack::Right => missing.push(it.name),
                Lack::Other(text) => {
                    self.failed("rights", text);
                    return;
                }
            }
            if it.name == "MULTI" {
                // Without a transaction, the commands would be executed.
                let rest = needed[at..].iter().map(|it| it.name);
                missing.extend(rest.filter(|it| *it != "MULTI"));
                break;
            }
        }
        missing.dedup();
        if missing.is_empty() {
            self.ok("rights", "every command that is needed is allowed".to_owned());
        } else {
            self.failed("rights", missing_rights(&missing));
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

/// Interprets an error of a command.
fn lack(needed: &Needed, error: &RedisError) -> Lack {
    let Needed { name, prefix, .. } = needed;
    let text = error.to_string();
    match error.code() {
        // A missing right for EXEC is reported this way.
        Some("EXECABORT") if text.contains("NOPERM") => Lack::Right,
        Some("NOPERM") if text.contains("command") => Lack::Right,
        Some("NOPERM") => Lack::Other(format!(
            "the user may not use keys that begin with `{prefix}`: give it `~{prefix}*`"
        )),
        Some("ERR") if text.to_lowercase().contains("unknown command") => Lack::Right,
        _ => Lack::Other(refused(name, error)),
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
