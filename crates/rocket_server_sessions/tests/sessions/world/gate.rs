//! A gate at which a request waits until the test lets it continue.

use std::time::Duration;

use rocket::tokio::sync::Notify;
use rocket::tokio::time::timeout;

#[derive(Default)]
pub struct Gate {
    arrivals: Notify,
    departures: Notify,
}

impl Gate {
    /// Waits until the test opens the gate.
    pub async fn pass(&self) {
        self.arrivals.notify_one();
        self.departures.notified().await;
    }

    /// Waits until a request has reached the gate.
    pub async fn reached(&self) {
        let arrived = timeout(Duration::from_secs(5), self.arrivals.notified()).await;
        assert!(arrived.is_ok(), "no request has reached the gate");
    }

    /// Lets one request continue.
    pub fn open(&self) {
        self.departures.notify_one();
    }
}
