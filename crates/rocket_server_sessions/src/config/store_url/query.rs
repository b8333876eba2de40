//! The kind of servers, and the part of a URL after the `?`.

use percent_encoding::percent_decode_str;

use super::place::{NO_URL, Node, place};

/// The kind of servers at the address.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Servers {
    One,
    Cluster,
    /// Sentinels, with the name of the master and their own credentials.
    Sentinels {
        service: String,
        username: Option<String>,
        password: Option<String>,
    },
}

pub(super) const SCHEMES: &str = "must begin with `redis://` or, encrypted, `rediss://`; for a \
     cluster or sentinels with `redis-cluster://`, `rediss-cluster://`, `redis-sentinel://` or \
     `rediss-sentinel://`; for a file, write `sqlite:sessions.db`";

/// The part after the `?`.
#[derive(Default)]
pub(super) struct Query {
    nodes: Vec<Node>,
    service: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Query {
    pub(super) fn parse(text: &str, kind: &str) -> Result<Self, &'static str> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8().map_err(|_| NO_URL)?.into_owned();
            let before = match name {
                _ if kind.is_empty() => return Err(unknown_parameter(name, kind)),
                "node" => {
                    let node = place(&value).map_err(|_| "has a `node` that is not `host:port`")?;
                    query.nodes.push(node);
                    None
                }
                "sentinelServiceName" => query.service.replace(value),
                "sentinelUsername" => query.username.replace(value),
                "sentinelPassword" => query.password.replace(value),
                _ => return Err(unknown_parameter(name, kind)),
            };
            if before.is_some() {
                return Err("has the same parameter twice");
            }
        }
        Ok(query)
    }

    pub(super) fn servers(self, kind: &str) -> Result<(Servers, Vec<Node>), &'static str> {
        let Self { nodes, service, username, password } = self;
        let servers = match kind {
            "" => Servers::One,
            "cluster" if service.is_some() || username.is_some() || password.is_some() => {
                return Err("names sentinels, which a cluster does not have");
            }
            "cluster" => Servers::Cluster,
            "sentinel" => {
                if username.is_some() && password.is_none() {
                    return Err("has a `sentinelUsername` without a `sentinelPassword`");
                }
                let service = service.filter(|it| !it.is_empty()).ok_or(
                    "names no master; write `redis-sentinel://host:26379?sentinelServiceName=NAME`",
                )?;
                Servers::Sentinels { service, username, password }
            }
            _ => return Err(SCHEMES),
        };
        Ok((servers, nodes))
    }
}

/// The message does not repeat the parameter: it may be part of a password that contains `?`.
fn unknown_parameter(name: &str, kind: &str) -> &'static str {
    match (name.to_ascii_lowercase().as_str(), kind) {
        ("db" | "database", _) => {
            "has the database as a parameter; write it after a `/`: `redis://host:6379/2`"
        }
        ("tls" | "ssl" | "sslmode", _) => {
            "asks for TLS in a parameter; write `rediss://` instead of `redis://`"
        }
        ("ssl_cert_reqs" | "insecure" | "verify" | "skip_verify", _) => {
            "has a parameter about certificates; they are always checked: name a private authority \
             in `ca_file`"
        }
        ("node", "") => {
            "names more nodes; write `redis-cluster://` or `redis-sentinel://`, or the same \
             with `rediss`"
        }
        (_, "") => {
            "has a part after `?`, and takes no parameters; if it belongs to the password, write \
             the `?` as `%3F`"
        }
        _ => {
            "has an unknown parameter; the parameters are `node`, and for sentinels \
             `sentinelServiceName`, `sentinelUsername` and `sentinelPassword`"
        }
    }
}
