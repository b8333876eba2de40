//! The setting `hsts`.

use figment::error::{Actual, Kind};
use figment::{Error, Figment};
use rocket_server_sessions::SettingError;

/// The header `Strict-Transport-Security`: for how long browsers use only HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hsts(pub(super) Option<String>);

impl Hsts {
    pub(crate) const KEY: &str = "hsts";

    /// Two years. Subdomains are not included: they may belong to others.
    const DEFAULT: &str = "max-age=63072000";

    /// Reads the setting. An empty text means no header.
    pub(crate) fn extract(figment: &Figment) -> Result<Self, Vec<SettingError>> {
        let value = match figment.extract_inner::<String>(Self::KEY) {
            Err(error) if error.missing() => Self::DEFAULT.to_owned(),
            other => other.map_err(SettingError::all)?,
        };
        let age = value.split(';').next().and_then(|it| it.trim().strip_prefix("max-age="));
        let is_text = value.bytes().all(|it| it.is_ascii_graphic() || it == b' ');
        match age {
            _ if value.is_empty() => Ok(Self(None)),
            Some(age) if is_text && age.parse::<u64>().is_ok() => Ok(Self(Some(value))),
            _ => {
                let expected = "empty or begin with `max-age=` and a number of seconds, as in \
                                \"max-age=63072000; includeSubDomains\"";
                let actual = Actual::Str(value);
                let mut error = Error::from(Kind::InvalidValue(actual, expected.to_owned()));
                error.metadata = figment.find_metadata(Self::KEY).cloned();
                Err(SettingError::all(error.with_path(Self::KEY)))
            }
        }
    }
}
