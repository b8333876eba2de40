//! A server and its drivers, against a server that answers late.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rocket::futures::future::join_all;
use rocket::tokio::runtime::Runtime;
use rocket::tokio::time::sleep;

use super::super::decoder::Decoder;
use super::*;
use crate::config::Config;
use crate::store::error::StoreErrorKind;

const MILLIS: Duration = Duration::from_millis(1);

/// A server that answers `HGET key NAME:MILLIS` with the name after that time, in order. It
/// counts its connections.
struct Echo {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Echo {
    fn start() -> Self {
        Self::with(usize::MAX, 0)
    }

    /// Closes any more connections immediately.
    fn with_room_for(number: usize) -> Self {
        Self::with(number, 0)
    }

    /// Answers a PING after some milliseconds.
    fn with_distance(millis: u32) -> Self {
        Self::with(usize::MAX, millis)
    }

    fn with(number: usize, distance: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::<AtomicUsize>::default();
        let count = connections.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if count.fetch_add(1, Ordering::Relaxed) < number {
                    thread::spawn(move || serve(stream.unwrap(), distance));
                }
            }
        });
        Self { port, connections }
    }

    fn server(&self, deadline: Duration) -> Arc<Server> {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let config = Config { deadline, connections: 4, ..Config::default() };
        let settings = RedisSettings::from_config(&config, &url.as_str().into());
        let address = super::super::address::tests::address(&url);
        Arc::new(Server::new(Target::Server(address), &settings))
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: TcpStream, distance: u32) {
    let (replies, due) = channel::<(Instant, String)>();
    let mut out = stream.try_clone().unwrap();
    // In a thread, so that later commands are read during the wait.
    thread::spawn(move || {
        for (due, reply) in due {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let _ = out.write_all(reply.as_bytes());
        }
    });
    let mut decoder = Decoder::default();
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        decoder.extend(&chunk[..length]);
        while let Some(command) = decoder.next_reply().unwrap() {
            let Ok(Value::Array(words)) = command else { panic!("{command:?}") };
            let Some(Value::BulkString(word)) = words.last() else { panic!("{words:?}") };
            let word = String::from_utf8_lossy(word);
            let (millis, reply) = match word.split_once(':') {
                Some((name, millis)) => {
                    (millis.parse().unwrap(), format!("${}\r\n{name}\r\n", name.len()))
                }
                None => (distance, "+PONG\r\n".to_owned()),
            };
            let due = Instant::now() + MILLIS * millis;
            replies.send((due, reply)).unwrap();
        }
    }
}

/// Asks for a name, which is answered after `millis`.
async fn ask(server: &Server, name: &str, millis: u32) -> Result<String, StoreErrorKind> {
    let mut pipeline = Pipeline::default();
    pipeline.command("HGET", "key", format!("{name}:{millis}"));
    match server.ask(pipeline).await {
        Ok(replies) => match &replies[..] {
            [Value::BulkString(name)] => Ok(String::from_utf8_lossy(name).into_owned()),
            other => panic!("{other:?}"),
        },
        Err(error) => Err(error.kind),
    }
}

#[rocket::async_test]
async fn requests_of_one_connection_do_not_wait_for_each_others_replies() {
    let echo = Echo::start();
    let server = echo.server(2000 * MILLIS);
    ask(&server, "first", 0).await.unwrap();
    let start = Instant::now();
    let asked = (0..100).map(|number| {
        let server = server.clone();
        async move {
            sleep(MILLIS * number).await;
            assert_eq!(ask(&server, &number.to_string(), 200).await, Ok(number.to_string()));
        }
    });
    join_all(asked).await;
    assert!(start.elapsed() < 1000 * MILLIS, "{:?}", start.elapsed());
    assert_eq!(echo.connections(), 1);
}

#[rocket::async_test]
async fn request_that_has_waited_for_the_connection_is_not_sent_if_the_server_is_too_far_away() {
    let echo = Echo::with_distance(400);
    // A call has 85 % of it: 680 ms, of which connecting takes 400.
    let server = echo.server(800 * MILLIS);
    let start = Instant::now();
    assert_eq!(ask(&server, "first", 400).await, Err(StoreErrorKind::Refused));
    assert!(start.elapsed() < 600 * MILLIS, "{:?}", start.elapsed());
    assert_eq!(ask(&server, "second", 400).await, Ok("second".to_owned()));
}

#[rocket::async_test]
async fn timeout_of_one_request_while_others_are_answered_is_not_an_outage() {
    let echo = Echo::start();
    let server = echo.server(1200 * MILLIS);
    ask(&server, "first", 0).await.unwrap();
    let after = async |millis, name: &'static str, takes| {
        sleep(MILLIS * millis).await;
        ask(&server, name, takes).await
    };
    let (soon, late, next) =
        rocket::tokio::join!(after(0, "soon", 600), after(15, "late", 1500), after(900, "next", 0));
    assert_eq!(soon, Ok("soon".to_owned()));
    assert_eq!(late, Err(StoreErrorKind::OutcomeUnknown));
    // The reply to the request that timed out was discarded.
    assert_eq!(next, Ok("next".to_owned()));
    assert_eq!(echo.connections(), 1);
    assert!(!server.is_refusing());
}

#[rocket::async_test]
async fn connection_on_which_nothing_is_answered_is_an_outage() {
    let echo = Echo::start();
    let server = echo.server(1000 * MILLIS);
    assert_eq!(ask(&server, "never", 60_000).await, Err(StoreErrorKind::OutcomeUnknown));
    assert!(server.is_refusing(), "before the caller gets the error");
    let start = Instant::now();
    while server.is_refusing() {
        assert!(start.elapsed() < 3000 * MILLIS, "a probe is answered");
        sleep(5 * MILLIS).await;
    }
    assert_eq!(ask(&server, "again", 0).await, Ok("again".to_owned()));
}

#[rocket::async_test]
async fn server_that_accepts_one_connection_serves_all_requests_on_it() {
    let echo = Echo::with_room_for(1);
    let server = echo.server(3000 * MILLIS);
    ask(&server, "first", 0).await.unwrap();
    let asked = (0..1500).map(|number: u32| {
        let server = server.clone();
        async move { ask(&server, &number.to_string(), 300).await == Ok(number.to_string()) }
    });
    assert!(join_all(asked).await.into_iter().all(|is_answered| is_answered));
    assert!(echo.connections() > 1, "the driver has tried to open another one");
    assert!(!server.is_refusing());
}

#[test]
fn driver_whose_runtime_has_ended_is_replaced() {
    let echo = Echo::start();
    let server = echo.server(2000 * MILLIS);
    for round in 1..=3 {
        let runtime = Runtime::new().unwrap();
        assert_eq!(runtime.block_on(ask(&server, "a", 0)), Ok("a".to_owned()));
        assert_eq!(echo.connections(), round);
    }
}

#[test]
fn outcome_of_a_request_is_unknown_at_once_if_its_driver_ends_with_its_runtime() {
    let echo = Echo::start();
    let server = echo.server(5000 * MILLIS);
    let (first, second) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    first.block_on(ask(&server, "a", 0)).unwrap();
    let own = server.clone();
    let waiting = second.spawn(async move { ask(&own, "b", 4000).await });
    thread::sleep(100 * MILLIS);
    let start = Instant::now();
    first.shutdown_background();
    let told = second.block_on(waiting).unwrap();
    assert_eq!(told, Err(StoreErrorKind::OutcomeUnknown));
    assert!(start.elapsed() < 2000 * MILLIS, "{:?}", start.elapsed());
    assert_eq!(second.block_on(ask(&server, "c", 0)), Ok("c".to_owned()));
}

#[rocket::async_test]
async fn request_that_expires_before_it_can_be_sent_is_refused() {
    // A server that accepts connections and never replies.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let echo = Echo { port: deaf.local_addr().unwrap().port(), connections: Arc::default() };
    let server = echo.server(200 * MILLIS);
    let asked = (0..20).map(|_| ask(&server, "a", 0));
    for answer in join_all(asked).await {
        assert_eq!(answer, Err(StoreErrorKind::Refused));
    }
}
