//! Pauses that differ from instance to instance, so that instances do not act in step.

use std::time::Duration;

/// A random byte.
pub(super) fn random() -> u8 {
    let mut random = [0];
    getrandom::fill(&mut random).expect("the operating system has a random generator");
    random[0]
}

/// Returns a random time between half of `pause` and all of it.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f32(0.5 + f32::from(random()) / 512.0)
}
