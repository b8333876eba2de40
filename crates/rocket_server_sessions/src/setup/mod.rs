//! The fairing, and what it does before the launch.

// Each module uses only those after it in this table. The test `layers` checks that.
//
// | modules | content |
// |---|---|
// | `fairing`, `cookie_fairing` | attach sessions to a Rocket |
// | `check` | checks a configuration without a launch |
// | `opening` | reads the settings and opens the store |
// | `launch` | what is logged at launch, and the check of the store |

mod check;
mod cookie_fairing;
mod fairing;
mod launch;
mod opening;

pub use check::check;
pub use fairing::SessionFairing;
