//! What is logged at launch: where the sessions live, what is probably wrong, and whether the store
//! can be used.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rocket::fairing::AdHoc;
use rocket::{Orbit, Rocket};

use crate::finding::{Finding, Verdict};
use crate::shared::Shared;
use crate::store::{ConfiguredStore, Store};

/// If the check takes this long, the process was frozen, and the result means nothing.
const FROZEN: Duration = Duration::from_mins(1);

/// How long to wait before a check that failed is repeated: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// What is needed only until the launch.
pub(super) struct Launch {
    warnings: Vec<Finding>,
    /// The store to check.
    store: Option<ConfiguredStore>,
}

impl Launch {
    /// `store` is `None` if the application has a custom one.
    pub(super) fn new(warnings: Vec<Finding>, store: Option<ConfiguredStore>) -> Self {
        Self { warnings, store: store.filter(|it| !matches!(it, ConfiguredStore::Memory)) }
    }

    pub(super) fn fairing(self, shared: Arc<Shared>) -> AdHoc {
        AdHoc::on_liftoff("Session launch", move |rocket| {
            Box::pin(async move { self.log(rocket, &shared) })
        })
    }

    fn log(self, rocket: &Rocket<Orbit>, shared: &Arc<Shared>) {
        log::info!("sessions live in {}", shared.store.name());
        for Finding { text, .. } in &self.warnings {
            log::warn!("{text}");
        }
        let config = &shared.config;
        if config.insecure_http && rocket.config().profile == rocket::Config::DEBUG_PROFILE {
            log::info!(
                "the profile is debug, so plain http works: the cookie is `{}`, without `Secure`; in \
                 a release, it needs https",
                config.cookie_name
            );
        }
        if let Some(store) = self.store {
            let running = Arc::downgrade(shared);
            check_in_background(move || {
                let running = running.upgrade()?;
                #[cfg_attr(not(feature = "express"), expect(unused_mut))]
                let mut findings = store.probe();
                #[cfg(feature = "express")]
                findings.extend(running.importer.as_ref().and_then(|it| it.probe_after(&findings)));
                drop(running);
                Some(findings)
            });
        }
    }
}

/// Checks the store and logs the result. The launch does not depend on it. If something failed, the
/// check is repeated until all is well, or until `probe` returns `None`, and each change is logged.
fn check_in_background(probe: impl Fn() -> Option<Vec<Finding>> + Send + 'static) {
    let run = move || {
        let mut when = "at launch";
        let (mut told, mut pause) = (Vec::new(), FIRST_PAUSE);
        loop {
            let begun = Instant::now();
            let Some(findings) = probe() else { return };
            if begun.elapsed() < FROZEN {
                let (passed, failed): (Vec<_>, Vec<_>) =
                    findings.into_iter().partition(|it| it.verdict == Verdict::Ok);
                if failed.is_empty() {
                    log_passed(&passed, when);
                    return;
                }
                if failed != told {
                    // Only warnings: the first request that fails logs an error.
                    for Finding { what, text, .. } in &failed {
                        log::warn!("checked the store {when}: {what} failed: {text}");
                    }
                    told = failed;
                }
                when = "again";
            }
            thread::sleep(pause);
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    };
    if let Err(error) = thread::Builder::new().name("session-check".to_owned()).spawn(run) {
        log::warn!("the store was not checked, because a thread cannot be started: {error}");
    }
}

fn log_passed(findings: &[Finding], when: &str) {
    for Finding { what, text, .. } in findings {
        log::debug!("checked the store {when}: {what}: {text}");
    }
    let is_told = |it: &&Finding| ["version", "round trip"].contains(&it.what);
    let told: Vec<_> = findings.iter().filter(is_told).map(|it| it.text.as_str()).collect();
    let told = told.join(", round trip ");
    log::info!("checked the store {when}: all checks passed ({told})");
}
