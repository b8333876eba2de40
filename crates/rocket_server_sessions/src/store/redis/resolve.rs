//! Looks host names up, with a deadline.
//!
//! The system resolver may block for many seconds. So lookups run on their own threads, and callers
//! wait with a deadline. Concurrent lookups of a name share a thread.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

type Found = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;

/// A name that is being looked up.
#[derive(Default)]
struct Lookup {
    found: Mutex<Option<Found>>,
    is_done: Condvar,
}

type UnderWay = Vec<((String, u16), Arc<Lookup>)>;

static UNDER_WAY: LazyLock<Mutex<UnderWay>> = LazyLock::new(Mutex::default);

/// Returns the addresses of a host.
pub(super) fn resolve(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    resolve_with(host, port, deadline, |place| Ok(place.to_socket_addrs()?.collect()))
}

fn resolve_with(
    host: &str,
    port: u16,
    deadline: Instant,
    ask: impl Fn((&str, u16)) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> io::Result<Vec<SocketAddr>> {
    let lookup = join(host, port, ask)?;
    let mut found = lookup.found.lock();
    while found.is_none() {
        if lookup.is_done.wait_until(&mut found, deadline).timed_out() {
            let why = format!("the name {host} could not be looked up in time");
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
    }
    match found.as_ref() {
        Some(Ok(addresses)) => Ok(addresses.clone()),
        Some(Err((kind, why))) => Err(io::Error::new(*kind, why.clone())),
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Joins a running lookup of a name, or starts one.
fn join(
    host: &str,
    port: u16,
    ask: impl Fn((&str, u16)) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> io::Result<Arc<Lookup>> {
    let place = (host.to_owned(), port);
    let mut under_way = UNDER_WAY.lock();
    if let Some((_, lookup)) = under_way.iter().find(|(known, _)| *known == place) {
        return Ok(lookup.clone());
    }
    let lookup = Arc::<Lookup>::default();
    let (shared, own) = (lookup.clone(), place.clone());
    thread::Builder::new().name("session-redis-dns".to_owned()).spawn(move || {
        let found = ask((&own.0, own.1)).map_err(|error| (error.kind(), error.to_string()));
        UNDER_WAY.lock().retain(|(known, _)| *known != own);
        *shared.found.lock() = Some(found);
        shared.is_done.notify_all();
    })?;
    under_way.push((place, lookup.clone()));
    Ok(lookup)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn address_needs_no_lookup_and_a_name_is_looked_up() {
        let deadline = Instant::now() + Duration::from_secs(5);
        assert_eq!(resolve("::1", 7, Instant::now()).unwrap(), ["[::1]:7".parse().unwrap()]);
        assert!(!resolve("localhost", 7, deadline).unwrap().is_empty());
        assert!(resolve("no-such-host.invalid", 7, deadline).is_err());
    }

    #[test]
    fn slow_lookup_runs_on_one_thread_and_callers_wait_until_their_deadline() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let answer: SocketAddr = "127.0.0.1:7".parse().unwrap();
        let hang = move |_: (&str, u16)| {
            LOOKUPS.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(300));
            Ok(vec![answer])
        };
        let start = Instant::now();
        let within = |millis| start + Duration::from_millis(millis);
        for _ in 0..3 {
            let error = resolve_with("hangs.example", 7, within(20), hang).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert!(start.elapsed() < Duration::from_millis(250), "{:?}", start.elapsed());
        // Other names are not delayed, and a caller that waits long enough gets the answer.
        assert!(resolve("localhost", 7, within(250)).is_ok());
        let found = resolve_with("hangs.example", 7, within(5_000), hang).unwrap();
        assert_eq!((found, LOOKUPS.load(Ordering::Relaxed)), (vec![answer], 1));
    }
}
