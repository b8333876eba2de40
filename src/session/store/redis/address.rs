//! Where Redis is, and how to speak to it: read from a URL, once, at launch.
//!
//! | scheme | what answers |
//! |---|---|
//! | `redis://`, `rediss://` | one server |
//! | `redis-sentinel://`, `rediss-sentinel://` | the master that sentinels name |
//! | `redis-cluster://`, `rediss-cluster://` | the masters of a cluster, each for its slots |
//!
//! The last two name further nodes as `?node=host:port`, as the clients of the field write them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::session::config::{Config, Url};

/// The settings of [`Redis`](super::Redis). [`Config`] documents each.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One server, the sentinels of one, or the nodes of a cluster.
    pub url: Url,
    /// Certificate authorities beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// What every key begins with.
    pub prefix: String,
    /// How long a request waits in all.
    pub deadline: Duration,
    /// How many threads, each with a connection.
    pub connections: u32,
    /// How many requests may wait.
    pub queue: usize,
}

impl Settings {
    /// The part of the session's configuration that is about Redis.
    #[must_use]
    pub fn from_config(config: &Config, url: &Url) -> Self {
        Self {
            url: url.clone(),
            ca_file: config.ca_file.clone(),
            prefix: config.prefix.clone(),
            deadline: config.deadline,
            connections: config.connections,
            queue: config.queue,
        }
    }
}

/// Why a store cannot be opened: a setting that cannot work.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct OpenError {
    key: &'static str,
    message: String,
}

impl OpenError {
    /// The setting.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key
    }

    pub(super) fn threads(error: &std::io::Error) -> Self {
        Self { key: "connections", message: format!("a thread cannot be started: {error}") }
    }
}

/// What the URL leads to.
pub(super) enum Topology {
    /// One server.
    Server(Address),
    /// The server that sentinels call the master.
    Master(Sentinels),
    /// The servers of a cluster, some of which are named.
    Cluster(Vec<Address>),
}

/// Who knows the master, and how to speak to it.
pub(super) struct Sentinels {
    pub(super) nodes: Vec<Address>,
    /// What they call the master, and its replicas.
    pub(super) service: String,
    /// A server of theirs, at a place that is not known yet.
    pub(super) server: Address,
}

/// A server, and what to say to it first.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Tls>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
}

#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// What a URL that names more than one node says besides where they are.
#[derive(Default)]
struct Query {
    nodes: Vec<(String, Option<u16>)>,
    service: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// The port that sentinels listen on, unless told otherwise.
const SENTINEL_PORT: u16 = 26379;

/// No message repeats the text of a URL: it holds a password.
fn wrong(message: &str) -> OpenError {
    OpenError { key: "url", message: message.to_owned() }
}

impl Topology {
    pub(super) fn parse(settings: &Settings) -> Result<Self, OpenError> {
        let url = settings.url.expose();
        let ca_file = settings.ca_file.as_deref();
        if let Some((base, query)) = split(url, "-cluster")? {
            if query.service.is_some() || query.username.is_some() || query.password.is_some() {
                return Err(wrong("names sentinels, which a cluster has not"));
            }
            let first = Address::parse(&base, ca_file)?;
            if first.database != 0 {
                return Err(wrong("names a database; a cluster has none but 0"));
            }
            let port = first.port;
            return Ok(Self::Cluster(with_others(first, query.nodes, port)?));
        }
        let Some((base, query)) = split(url, "-sentinel")? else {
            return Address::parse(url, ca_file).map(Self::Server);
        };
        let service = query.service.filter(|it| !it.is_empty()).ok_or_else(|| {
            wrong("names no master; write `redis-sentinel://host:26379?sentinelServiceName=NAME`")
        })?;
        let server = Address::parse(&base, ca_file)?;
        let mut first = server.clone();
        if !has_port(&base) {
            first.port = SENTINEL_PORT;
        }
        (first.username, first.password) = (query.username, query.password);
        first.database = 0;
        let nodes = with_others(first, query.nodes, SENTINEL_PORT)?;
        Ok(Self::Master(Sentinels { nodes, service, server }))
    }
}

/// Reads `redis-KIND://…?node=…` as `redis://…` and its query; `None` for another kind.
fn split(url: &str, kind: &str) -> Result<Option<(String, Query)>, OpenError> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(None) };
    let Some(scheme) = scheme.strip_suffix(kind) else { return Ok(None) };
    let (rest, text) = rest.split_once('?').unwrap_or((rest, ""));
    let mut query = Query::default();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        let value = value.into_owned();
        match &*name {
            "node" => query.nodes.push(node(&value)?),
            "sentinelServiceName" => query.service = Some(value),
            "sentinelUsername" => query.username = Some(value),
            "sentinelPassword" => query.password = Some(value),
            _ => {
                return Err(wrong(
                    "has an unknown parameter; known are `node`, `sentinelServiceName`, \
                     `sentinelUsername` and `sentinelPassword`",
                ));
            }
        }
    }
    Ok(Some((format!("{scheme}://{rest}"), query)))
}

/// Reads `host:port`, or a host alone.
fn node(text: &str) -> Result<(String, Option<u16>), OpenError> {
    let url = url::Url::parse(&format!("redis://{text}"));
    let parsed = url.ok().and_then(|url| Some((url.host_str()?.to_owned(), url.port())));
    let (host, port) = parsed.ok_or_else(|| wrong("has a `node` that is not `host:port`"))?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

fn has_port(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.port().is_some())
}

fn with_others(
    first: Address,
    others: Vec<(String, Option<u16>)>,
    port: u16,
) -> Result<Vec<Address>, OpenError> {
    let others = others.into_iter().map(|(host, given)| first.at(&host, given.unwrap_or(port)));
    let others = others.collect::<Option<Vec<_>>>().ok_or_else(|| wrong(NO_NAME))?;
    Ok([vec![first], others].concat())
}

const NO_NAME: &str = "names a host that no certificate can name";

impl Address {
    fn parse(url: &str, ca_file: Option<&Path>) -> Result<Self, OpenError> {
        let info = url.into_connection_info().map_err(|_| {
            wrong(
                "is no Redis URL; write `rediss://user:password@host:port`, or `redis://` for a \
                   server without TLS, and percent-encode special characters of the password",
            )
        })?;
        let redis = info.redis_settings();
        let (host, port, tls) = match info.addr() {
            ConnectionAddr::Tcp(host, _) if host.ends_with(".upstash.io") => {
                return Err(wrong(
                    "Upstash speaks TLS only; write `rediss://` instead of `redis://`",
                ));
            }
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port, None),
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return Err(wrong(
                    "asks for TLS without checking the server; remove `#insecure`, and name a \
                     private authority in `ca_file`",
                ));
            }
            ConnectionAddr::TcpTls { host, port, .. } => {
                let name = ServerName::try_from(host.clone()).map_err(|_| wrong(NO_NAME))?;
                let config = tls_config(ca_file)?;
                (host.clone(), *port, Some(Tls { config: Arc::new(config), name }))
            }
            _ => {
                return Err(wrong(
                    "must begin with `redis://` or `rediss://`, or with either and `-cluster` or \
                     `-sentinel` before the colon",
                ));
            }
        };
        Ok(Self {
            host,
            port,
            tls,
            username: redis.username().map(str::to_owned),
            password: redis.password().map(str::to_owned),
            database: redis.db(),
        })
    }

    /// The same at another place; `None` where no certificate can name the host.
    pub(super) fn at(&self, host: &str, port: u16) -> Option<Self> {
        let tls = match &self.tls {
            None => None,
            Some(tls) => Some(Tls {
                config: tls.config.clone(),
                name: ServerName::try_from(host.to_owned()).ok()?,
            }),
        };
        Some(Self { host: host.to_owned(), port, tls, ..self.clone() })
    }
}

fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, OpenError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        let wrong = |why: &dyn std::fmt::Display| OpenError {
            key: "ca_file",
            message: format!("`{}` cannot be read as certificates in PEM: {why}", path.display()),
        };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
        if roots.len() == before {
            return Err(wrong(&"it holds none"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError {
            key: "url",
            message: format!("TLS cannot be used: {error}"),
        })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
