//! The settings of the store, and errors about them.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, StoreUrl};

/// The settings of [`Redis`](super::Redis). [`Config`] documents each.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedisSettings {
    /// The URL of a server, of its sentinels, or of a cluster.
    pub url: StoreUrl,
    /// A PEM file of certificate authorities to trust in addition to the public ones.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show to the server.
    pub client_cert_file: Option<PathBuf>,
    /// Its private key.
    pub client_key_file: Option<PathBuf>,
    /// The name in the server's certificate, if it is not the host.
    pub tls_server_name: Option<String>,
    /// The prefix of every key.
    pub prefix: String,
    /// The deadline of a request.
    pub deadline: Duration,
    /// The maximum number of connections.
    pub connections: u32,
    /// The maximum number of waiting requests.
    pub queue: usize,
}

impl RedisSettings {
    /// The part of the session's configuration that is about Redis.
    #[must_use]
    pub fn from_config(config: &Config, url: &StoreUrl) -> Self {
        Self {
            url: url.clone(),
            ca_file: config.ca_file.clone(),
            client_cert_file: config.client_cert_file.clone(),
            client_key_file: config.client_key_file.clone(),
            tls_server_name: config.tls_server_name.clone(),
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
    pub(super) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into() }
    }

    /// Returns the name of the invalid setting.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key
    }
}

/// No message repeats the text of a URL, because it may contain a password.
pub(super) fn wrong(message: &str) -> OpenError {
    OpenError::new("url", message)
}
