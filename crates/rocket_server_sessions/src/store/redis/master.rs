//! The master that sentinels report, and how they agree on it.

use std::cmp::Reverse;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use redis::{Value, cmd};

use super::address::Address;
use super::connect_error::{ConnectError, describe_connect};
use super::connection::Connection;

/// The master as reported by one or more sentinels.
#[derive(Clone)]
pub(super) struct MasterInfo {
    /// The configuration epoch. Each failover increases it.
    pub(super) epoch: u64,
    pub(super) address: Address,
}

impl MasterInfo {
    pub(super) fn is_same_server(&self, other: &Self) -> bool {
        (&self.address.host, self.address.port) == (&other.address.host, other.address.port)
    }

    /// Connects to the server, which must report itself as master.
    pub(super) fn open(&self, deadline: Instant) -> Result<Connection, ConnectError> {
        let address = &self.address;
        let mut connection = Connection::open(address, deadline)?;
        // HELLO needs no ACL rights, unlike ROLE.
        let about = connection.ask(cmd("HELLO").arg(2), deadline);
        let about = about.map_err(|error| describe_connect(&error, address))?;
        if value_of(&about, "role") == Some(b"master") {
            return Ok(connection);
        }
        let Address { host, port, .. } = address;
        Err(ConnectError(format!(
            "{host}:{port} is not a master, although the sentinels report it as one"
        )))
    }
}

/// Collects answers until a majority of `all` sentinels agrees, or `number` have answered or
/// failed. Returns the answers and the last error.
pub(super) fn gather(
    answers: &Receiver<Result<MasterInfo, String>>,
    number: usize,
    all: usize,
    deadline: Instant,
) -> (Vec<MasterInfo>, String) {
    let mut votes: Vec<MasterInfo> = Vec::new();
    let mut why = "they do not answer in time".to_owned();
    let mut heard = 0;
    while heard < number || votes.is_empty() {
        let rest = deadline.saturating_duration_since(Instant::now());
        match answers.recv_timeout(rest) {
            Ok(Ok(vote)) => {
                let agree = votes.iter().filter(|it| it.is_same_server(&vote)).count() + 1;
                votes.push(vote);
                if agree * 2 > all {
                    break;
                }
            }
            Ok(Err(failed)) => why = failed,
            Err(_) => break,
        }
        heard += 1;
    }
    (votes, why)
}

/// Ranks the candidates for the master by the number of sentinels that report them, and then by
/// epoch. Once a master is known, a minority is believed only if it reports a later failover.
pub(super) fn rank(
    votes: &[MasterInfo],
    all: usize,
    known: Option<&MasterInfo>,
) -> Vec<MasterInfo> {
    let mut candidates: Vec<(usize, MasterInfo)> = Vec::new();
    for vote in votes {
        match candidates.iter_mut().find(|(_, it)| it.is_same_server(vote)) {
            Some((number, candidate)) => {
                *number += 1;
                candidate.epoch = candidate.epoch.max(vote.epoch);
            }
            None => candidates.push((1, vote.clone())),
        }
    }
    candidates.retain(|(number, it)| {
        let is_newer = |known: &MasterInfo| it.is_same_server(known) || it.epoch > known.epoch;
        number * 2 > all || known.is_none_or(is_newer)
    });
    candidates.sort_by_key(|(number, candidate)| Reverse((*number, candidate.epoch)));
    candidates.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Looks a name up in a flat list of names and values.
pub(super) fn value_of<'v>(list: &'v Value, name: &str) -> Option<&'v [u8]> {
    let Value::Array(items) = list else { return None };
    items.chunks_exact(2).find_map(|pair| match pair {
        [Value::BulkString(found), Value::BulkString(value)] if found == name.as_bytes() => {
            Some(value.as_slice())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::super::address::tests::address;
    use super::*;

    fn info(host: &str, epoch: u64) -> MasterInfo {
        let address = Address { host: host.to_owned(), ..address("redis://any") };
        MasterInfo { epoch, address }
    }

    /// The hosts to which the votes of three sentinels lead, in order.
    fn ranked(votes: &[(&str, u64)], known: Option<(&str, u64)>) -> Vec<String> {
        let votes: Vec<_> = votes.iter().map(|(host, epoch)| info(host, *epoch)).collect();
        let known = known.map(|(host, epoch)| info(host, epoch));
        rank(&votes, 3, known.as_ref()).into_iter().map(|it| it.address.host).collect()
    }

    #[test]
    fn server_that_most_sentinels_name_is_the_master_whatever_the_epoch() {
        assert_eq!(ranked(&[("old", 1), ("new", 2), ("old", 1)], Some(("old", 1))), ["old", "new"]);
        assert_eq!(ranked(&[("old", 1), ("new", 2), ("new", 2)], Some(("old", 1)))[0], "new");
        // After a new setup, epochs start again: another master has the same epoch or a lower one.
        for epoch in [0, 7] {
            let votes = [("other", epoch), ("other", epoch)];
            assert_eq!(ranked(&votes, Some(("known", 7))), ["other"]);
        }
    }

    #[test]
    fn epoch_breaks_ties() {
        assert_eq!(ranked(&[("old", 1), ("new", 2)], Some(("old", 1))), ["new", "old"]);
        assert_eq!(ranked(&[("old", 1), ("new", 2)], None), ["new", "old"]);
    }

    #[test]
    fn minority_is_believed_only_if_it_knows_of_a_later_failover_or_nothing_is_known() {
        assert_eq!(ranked(&[("old", 1)], Some(("new", 2))), Vec::<String>::new());
        assert_eq!(ranked(&[("other", 2)], Some(("new", 2))), Vec::<String>::new());
        assert_eq!(ranked(&[("newer", 3)], Some(("new", 2))), ["newer"]);
        assert_eq!(ranked(&[("new", 2)], Some(("new", 2))), ["new"]);
        assert_eq!(ranked(&[("any", 0)], None), ["any"]);
    }

    #[test]
    fn sentinel_that_hangs_is_not_waited_for_once_the_others_agree() {
        let (sender, answers) = channel();
        sender.send(Ok(info("master", 1))).unwrap();
        sender.send(Ok(info("master", 1))).unwrap();
        let start = Instant::now();
        let (votes, _) = gather(&answers, 3, 3, start + Duration::from_secs(10));
        assert!(votes.len() == 2 && start.elapsed() < Duration::from_secs(1));
    }
}
