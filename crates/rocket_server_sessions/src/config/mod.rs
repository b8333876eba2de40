//! The settings in `[default.session]`: defaults and validation.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | [`Config`]: the settings and their defaults |
//! | `reading` | reads them, and rejects what is invalid |
//! | `cookie_settings` | the settings of the cookie, which depend on each other |
//! | `rules` | descriptions of valid values |
//! | `table` | reads the table key by key and collects errors |
//! | `setting_error` | what is wrong with a setting, and where it was set |
//! | `session_variable` | `ROCKET_SESSION`, which holds a whole table |
//! | `unused_setting` | unused settings, such as misspelt ones |
//! | `duration`, `same_site`, `secret_key`, `store_url` | the types of settings that are not numbers or strings |

mod cookie_settings;
mod duration;
mod reading;
mod rules;
mod same_site;
mod secret_key;
mod session_variable;
mod setting_error;
mod settings;
mod store_url;
mod table;
mod unused_setting;

pub use same_site::SameSite;
pub use secret_key::SecretKey;
pub(crate) use session_variable::with_variable;
pub use setting_error::SettingError;
pub(crate) use setting_error::place;
pub(crate) use settings::MAX_LIFETIME;
#[cfg(feature = "redis")]
pub(crate) use settings::MAX_RECORD;
pub use settings::{Config, OnOutage};
pub(crate) use store_url::Place;
pub use store_url::StoreUrl;
#[cfg(feature = "redis")]
pub(crate) use store_url::{Location, Servers};
pub use unused_setting::UnusedSetting;
