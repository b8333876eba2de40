//! What to do about an error that Redis returns.

use std::borrow::Cow;
use std::fmt::Display;

/// The advice, by the error's code and a part of its text in lower case. `NOPERM` has a function of
/// its own.
const REMEDIES: [(&str, &str, &str); 25] = [
    ("WRONGPASS", "", "check the user and the password in `url`"),
    (
        "NOAUTH",
        "",
        "it requires a password: check the user and the password in `url`, which are written \
         `user:password@host`",
    ),
    (
        "DENIED",
        "",
        "it is in protected mode and allows connections from its own machine only: give it a \
         password, or set `protected-mode no`",
    ),
    ("READONLY", "", REPLICA),
    ("MASTERDOWN", "", REPLICA),
    ("LOADING", "", "it is loading its data: wait"),
    ("OOM", "", "its memory is full: raise `maxmemory`; evicting keys instead would lose sessions"),
    ("MISCONF", "", "it cannot save its data, so it refuses writes: its log has the reason"),
    ("BUSY", "", "it is running a slow script: wait, or stop the script with `SCRIPT KILL`"),
    (
        "NOREPLICAS",
        "",
        "it has fewer replicas than `min-replicas-to-write`: repair them, or lower that setting",
    ),
    ("CLUSTERDOWN", "", "a part of the cluster is down: see `CLUSTER INFO`"),
    ("MOVED", "", PART_OF_A_CLUSTER),
    ("ASK", "", PART_OF_A_CLUSTER),
    ("TRYAGAIN", "", PART_OF_A_CLUSTER),
    ("ERR", "select is not allowed", PART_OF_A_CLUSTER),
    (
        "ERR",
        "cluster support disabled",
        "it is not part of a cluster: write `redis://` or `rediss://`",
    ),
    (
        "ERR",
        "unknown command 'sentinel'",
        "it is not a sentinel: write `redis://` or `rediss://` for a server",
    ),
    ("ERR", "unknown command 'hello'", TOO_OLD),
    ("ERR", "without any password", NO_PASSWORD),
    ("ERR", "no password is set", NO_PASSWORD),
    (
        "ERR",
        "db index is out of range",
        "the server has fewer databases: use a smaller number after the `/` in `url`",
    ),
    ("ERR", "max number of clients", "it has too many clients: raise its `maxclients`"),
    ("ERR", "max requests limit", USED_UP),
    ("ERR", "max daily request limit", USED_UP),
    ("ERR", "db capacity quota", "the database is full: choose a larger plan"),
];

/// The oldest version that has all commands that sessions need.
pub(super) const MIN_VERSION: (u32, u32) = (6, 2);

pub(super) const TOO_OLD: &str = "it is too old: sessions need Redis 6.2 or later";

pub(super) const REPLICA: &str = "it is a replica: if no failover is in progress, name the master \
                                  in `url`";

const PART_OF_A_CLUSTER: &str = "it is part of a cluster: write `redis-cluster://` or \
                                 `rediss-cluster://` in `url`";

const NO_PASSWORD: &str = "the server has no password: remove yours from `url`, or set \
                           `requirepass` on the server";

const USED_UP: &str = "the quota is used up: wait until it is renewed, or choose a larger plan";

/// Returns the advice for an error, or `None` if the cause is unknown.
pub(super) fn remedy(code: &str, text: &str) -> Option<Cow<'static, str>> {
    // Redis 5 quotes commands with backticks.
    let text = text.to_lowercase().replace('`', "'");
    if code == "NOPERM" {
        return Some(missing_right(&text));
    }
    let is_meant = |it: &&(&str, &str, &str)| it.0 == code && text.contains(it.1);
    REMEDIES.iter().find(is_meant).map(|(_, _, remedy)| (*remedy).into())
}

/// Appends the advice to what has happened.
pub(super) fn advised(what: String, remedy: Option<impl Display>) -> String {
    match remedy {
        Some(remedy) => format!("{what}; {remedy}"),
        None => what,
    }
}

/// The advice if the user may not run these commands.
pub(super) fn missing_rights(commands: &[&str]) -> String {
    let rights: Vec<_> = commands.iter().map(|it| format!("+{}", it.to_lowercase())).collect();
    let commands = commands.join(", ").to_uppercase();
    format!("the user may not run {commands}: give it `{}`", rights.join(" "))
}

/// The advice for the text of `NOPERM`. It names the command, but not the user and the key.
fn missing_right(text: &str) -> Cow<'static, str> {
    let command = text.split_once("run the '").and_then(|(_, rest)| rest.split('\'').next());
    match command {
        Some(command) => missing_rights(&[command]).into(),
        None if text.contains(" key") => {
            "the user may not use the keys of sessions: give it `~session:*`, or your own `prefix` \
             instead of `session:`, and the keys of sessions that are imported"
                .into()
        }
        None => "the user lacks a right that sessions need: run the check to see which".into(),
    }
}
