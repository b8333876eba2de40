//! The address of a server, with its credentials and TLS settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{Config, Location, RedisUrl};

/// The settings of [`Redis`](super::Redis). [`Config`] documents each.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The URL of a server, of its sentinels, or of a cluster.
    pub url: RedisUrl,
    /// A PEM file of certificate authorities to trust in addition to the public ones.
    pub ca_file: Option<PathBuf>,
    /// The prefix of every key.
    pub prefix: String,
    /// The deadline of a request.
    pub deadline: Duration,
    /// The maximum number of connections.
    pub connections: u32,
    /// The maximum number of waiting requests.
    pub queue: usize,
}

impl Settings {
    /// The part of the session's configuration that is about Redis.
    #[must_use]
    pub fn from_config(config: &Config, url: &RedisUrl) -> Self {
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

/// An invalid setting.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct OpenError {
    key: &'static str,
    message: String,
}

impl OpenError {
    /// Returns the name of the invalid setting.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key
    }
}

/// A server's address, credentials and TLS configuration.
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

/// No message repeats the text of a URL, because it may contain a password.
pub(super) fn wrong(message: &str) -> OpenError {
    OpenError { key: "url", message: message.to_owned() }
}

pub(super) const NO_NAME: &str = "contains a host that is not a valid TLS server name";

/// The port of a server, unless the URL says otherwise.
const PORT: u16 = 6379;

impl Address {
    /// The first server of a URL.
    pub(super) fn of(location: &Location, ca_file: Option<&Path>) -> Result<Self, OpenError> {
        let Location { host, username, password, database, .. } = location.clone();
        let tls = if location.is_encrypted {
            let name = ServerName::try_from(host.clone()).map_err(|_| wrong(NO_NAME))?;
            Some(Tls { config: Arc::new(tls_config(ca_file)?), name })
        } else {
            None
        };
        let port = location.port.unwrap_or(PORT);
        Ok(Self { host, port, tls, username, password, database })
    }

    /// Returns a copy with another host and port. `None` if the host is not a valid TLS server
    /// name.
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
            return Err(wrong(&"it contains none"));
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::store::redis) fn address(url: &str) -> Address {
        Address::of(&RedisUrl::from(url).locate().unwrap(), None).unwrap()
    }

    #[test]
    fn another_node_is_reached_as_the_first_is_and_must_prove_its_own_name() {
        let first = address("rediss://alice:word@a.example:1/2");
        let other = first.at("b.example", 3).unwrap();
        assert_eq!((other.host.as_str(), other.port, other.database), ("b.example", 3, 2));
        assert_eq!(
            (other.username.as_deref(), other.password.as_deref()),
            (Some("alice"), Some("word"))
        );
        assert_eq!(other.tls.unwrap().name, ServerName::try_from("b.example").unwrap());
        assert!(first.at("no name", 3).is_none());
    }

    #[test]
    fn file_without_certificates_is_refused() {
        let location = RedisUrl::from("rediss://127.0.0.1").locate().unwrap();
        let key = |ca_file: &str| {
            Address::of(&location, Some(Path::new(ca_file))).err().map(|error| error.key())
        };
        assert_eq!(key("/nowhere.pem"), Some("ca_file"));
        // A file that exists, but contains no certificate.
        assert_eq!(key(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")), Some("ca_file"));
    }
}
