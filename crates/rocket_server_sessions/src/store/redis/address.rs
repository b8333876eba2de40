//! The address of a server, with its credentials and TLS settings.

use super::settings::{OpenError, RedisSettings};
use super::tls::Tls;
use crate::config::Location;

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

/// The port of a server, unless the URL says otherwise.
const PORT: u16 = 6379;

impl Address {
    /// The first server of a URL.
    pub(super) fn of(location: &Location, settings: &RedisSettings) -> Result<Self, OpenError> {
        let Location { host, username, password, database, .. } = location.clone();
        let tls = if location.is_encrypted { Some(Tls::open(settings, &host)?) } else { None };
        let port = location.port.unwrap_or(PORT);
        Ok(Self { host, port, tls, username, password, database })
    }

    /// Returns a copy with another host and port. `None` if the host is not a valid TLS server
    /// name.
    pub(super) fn at(&self, host: &str, port: u16) -> Option<Self> {
        let tls = match &self.tls {
            None => None,
            Some(tls) => Some(tls.at(host)?),
        };
        Some(Self { host: host.to_owned(), port, tls, ..self.clone() })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rustls::pki_types::ServerName;

    use super::*;
    use crate::config::{Config, Place, StoreUrl};

    fn open(url: &str, config: &Config) -> Result<Address, OpenError> {
        let url = StoreUrl::from(url);
        let Ok(Place::Redis(location)) = url.locate() else { panic!("{url:?}") };
        Address::of(&location, &RedisSettings::from_config(config, &url))
    }

    pub(in crate::store::redis) fn address(url: &str) -> Address {
        open(url, &Config::default()).unwrap()
    }

    #[test]
    fn another_node_has_the_settings_of_the_first_and_must_prove_its_own_name() {
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
    fn configured_name_is_the_name_of_every_node() {
        let config =
            Config { tls_server_name: Some("redis.example".to_owned()), ..Config::default() };
        let first = open("rediss://10.0.0.1", &config).unwrap();
        let name = ServerName::try_from("redis.example").unwrap();
        assert_eq!(first.at("10.0.0.2", 1).unwrap().tls.unwrap().name, name);
        assert_eq!(first.tls.unwrap().name, name);
    }

    #[test]
    fn file_with_the_wrong_content_is_refused_with_the_name_of_its_setting() {
        // A file that exists, but contains neither a certificate nor a key.
        let other = || Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into());
        let set = Config::default;
        for (config, key) in [
            (Config { ca_file: Some("/nowhere.pem".into()), ..set() }, "ca_file"),
            (Config { ca_file: other(), ..set() }, "ca_file"),
            (
                Config { client_cert_file: other(), client_key_file: other(), ..set() },
                "client_cert_file",
            ),
            (Config { client_cert_file: other(), ..set() }, "client_cert_file"),
            (Config { client_key_file: other(), ..set() }, "client_key_file"),
            (Config { tls_server_name: Some("no name".to_owned()), ..set() }, "tls_server_name"),
        ] {
            let error = open("rediss://127.0.0.1", &config).err().unwrap();
            assert_eq!(error.key(), key, "{error}");
        }
    }
}
