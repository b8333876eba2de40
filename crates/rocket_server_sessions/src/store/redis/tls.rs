//! How a connection is encrypted: which servers are trusted, and which client certificate is sent
//! to them.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::settings::{OpenError, RedisSettings, wrong};

pub(super) const NO_NAME: &str = "contains a host that is not a valid TLS server name";

/// The TLS settings of one server.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    /// The name that the server's certificate must have.
    pub(super) name: ServerName<'static>,
    /// Whether every server has this name, because it was configured.
    is_common: bool,
}

impl Tls {
    pub(super) fn open(settings: &RedisSettings, host: &str) -> Result<Self, OpenError> {
        let common = settings.tls_server_name.as_deref();
        let name = ServerName::try_from(common.unwrap_or(host).to_owned());
        let name = name.map_err(|_| match common {
            None => wrong(NO_NAME),
            Some(_) => OpenError::new("tls_server_name", "is not a host name or an IP address"),
        })?;
        Ok(Self { config: Arc::new(config(settings)?), name, is_common: common.is_some() })
    }

    /// The same for another host. `None` if its name is not a valid TLS server name.
    pub(super) fn at(&self, host: &str) -> Option<Self> {
        let name = if self.is_common {
            self.name.clone()
        } else {
            ServerName::try_from(host.to_owned()).ok()?
        };
        Some(Self { name, ..self.clone() })
    }
}

fn config(settings: &RedisSettings) -> Result<ClientConfig, OpenError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &settings.ca_file {
        for certificate in certificates("ca_file", path)? {
            roots.add(certificate).map_err(|error| unreadable("ca_file", path, &error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&format!("TLS cannot be used: {error}")))?
        .with_root_certificates(roots);
    match (&settings.client_cert_file, &settings.client_key_file) {
        (None, None) => Ok(config.with_no_client_auth()),
        (Some(certificate), Some(key)) => with_certificate(config, certificate, key),
        (Some(_), None) => {
            Err(OpenError::new("client_cert_file", "is set without `client_key_file`"))
        }
        (None, Some(_)) => {
            Err(OpenError::new("client_key_file", "is set without `client_cert_file`"))
        }
    }
}

fn with_certificate(
    config: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: &Path,
    key: &Path,
) -> Result<ClientConfig, OpenError> {
    let chain = certificates("client_cert_file", certificate)?;
    let unreadable_key = |why: &dyn Display| {
        let path = key.display();
        let why = format!("`{path}` cannot be read as a private key in PEM, not encrypted: {why}");
        OpenError::new("client_key_file", why)
    };
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable_key(&error))?;
    config.with_client_auth_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => OpenError::new(
            "client_key_file",
            "is not the key of the first certificate in `client_cert_file`",
        ),
        error => unreadable_key(&error),
    })
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let wrong = |why: &dyn Display| unreadable(key, path, why);
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| wrong(&error))?;
    if found.is_empty() { Err(wrong(&"it contains none")) } else { Ok(found) }
}

fn unreadable(key: &'static str, path: &Path, why: &dyn Display) -> OpenError {
    let path = path.display();
    OpenError::new(key, format!("`{path}` cannot be read as certificates in PEM: {why}"))
}
