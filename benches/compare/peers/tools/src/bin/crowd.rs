//! Visitors who send requests without pause: `crowd PORT VISITORS SECONDS [--retry-after]`. With the
//! last argument, a visitor who is refused waits as long as the answer says.
//!
//! Each visitor has a connection and a session. They view a page a few at a time, then all at once
//! without pause, then a few at a time again. A view that is answered with 200 counts once. A view
//! that is refused does not count. Prints the results as JSON.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, io};

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// How many visitors view a page at a time before and after the load.
const A_FEW: usize = 256;

/// How long a visitor waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The pauses before and after the load, and before a refused view is repeated.
const PAUSE: Duration = Duration::from_secs(1);

/// The name of a 503 that says that the view may have been counted.
const OUTCOME_UNKNOWN: &str = "outcome unknown";

/// How often a view without load is repeated if it is refused, since the machine may be busy.
const RETRIES: u32 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|it| it.parse::<u64>().ok());
    let (Some(port), Some(visitors), Some(seconds)) = (number(0), number(1), number(2)) else {
        panic!("usage: crowd PORT VISITORS SECONDS [--retry-after]");
    };
    let port = u16::try_from(port).expect("a port is at most 65535");
    let waits = arguments.get(3).is_some_and(|it| it == "--retry-after");

    let mut crowd = Vec::new();
    for result in a_few_at_a_time((0..visitors).map(|_| Visitor::begin(port))).await {
        crowd.push(result?);
    }
    sleep(PAUSE).await;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let tasks: Vec<_> =
        crowd.into_iter().map(|visitor| tokio::spawn(visitor.view_until(end, waits))).collect();
    let mut crowd = Vec::new();
    for task in tasks {
        crowd.push(task.await.expect("a visitor does not panic"));
    }
    let lasted = start.elapsed().as_secs_f64();
    sleep(PAUSE).await;
    let mut report = Report::of(&crowd, lasted);
    for result in a_few_at_a_time(crowd.into_iter().map(Visitor::check)).await {
        report.add(&result?);
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// Runs all of these, [`A_FEW`] at a time.
async fn a_few_at_a_time<T: Send + 'static>(
    work: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let gate = Arc::new(Semaphore::new(A_FEW));
    let tasks: Vec<_> = work
        .map(|one| {
            let gate = gate.clone();
            tokio::spawn(async move {
                let _turn = gate.acquire_owned().await;
                one.await
            })
        })
        .collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.expect("a visitor does not panic"));
    }
    done
}

struct Visitor {
    port: u16,
    link: Option<TcpStream>,
    buffer: Vec<u8>,
    cookie: String,
    /// The count before the load.
    before: u64,
    served: Vec<u32>,
    refused: Vec<u32>,
    /// What else happened, by its name: such a view may have counted.
    other: BTreeMap<String, u64>,
}

/// The difference between the views that count and those that were answered.
struct Checked {
    surplus: i64,
    unknown: u64,
}

impl Visitor {
    async fn begin(port: u16) -> io::Result<Self> {
        let mut visitor = Self {
            port,
            link: None,
            buffer: Vec::with_capacity(8192),
            cookie: String::new(),
            before: 0,
            served: Vec::new(),
            refused: Vec::new(),
            other: BTreeMap::new(),
        };
        // A cookie may be renewed when it is sent for the first time.
        for _ in 0..2 {
            visitor.before = visitor.count().await?;
        }
        Ok(visitor)
    }

    async fn view_until(mut self, end: Instant, waits: bool) -> Self {
        while Instant::now() < end {
            let start = Instant::now();
            let answer = timeout(TIMEOUT, self.view()).await;
            let micros = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
            match answer {
                Ok(Ok(answer)) if answer.status == 200 => self.served.push(micros),
                Ok(Ok(answer)) if answer.status == 503 => {
                    if answer.is_outcome_unknown {
                        *self.other.entry(OUTCOME_UNKNOWN.to_owned()).or_default() += 1;
                    } else {
                        self.refused.push(micros);
                    }
                    if waits {
                        let left = end.saturating_duration_since(Instant::now());
                        sleep(answer.retry_after.min(left)).await;
                    }
                }
                Ok(Ok(answer)) => self.note(answer.status.to_string()),
                Ok(Err(error)) => self.note(error.kind().to_string()),
                Err(_) => self.note("no answer".to_owned()),
            }
        }
        self
    }

    fn note(&mut self, what: String) {
        *self.other.entry(what).or_default() += 1;
        self.link = None;
    }

    async fn check(mut self) -> io::Result<Checked> {
        let now = self.count().await?;
        let expected = self.before + self.served.len() as u64 + 1;
        Ok(Checked {
            surplus: now.cast_signed() - expected.cast_signed(),
            unknown: self.other.values().sum(),
        })
    }

    /// Views the page until it is served, and returns its count.
    async fn count(&mut self) -> io::Result<u64> {
        for _ in 0..RETRIES {
            let answer = timeout(TIMEOUT, self.view()).await.map_err(io::Error::other)??;
            match (answer.status, answer.views) {
                (200, Some(views)) => return Ok(views),
                (503, _) => sleep(PAUSE).await,
                (status, _) => {
                    return Err(io::Error::other(format!("a view without load: {status}")));
                }
            }
        }
        Err(io::Error::other("views are refused without load"))
    }

    async fn view(&mut self) -> io::Result<Answer> {
        let link = match &mut self.link {
            Some(link) => link,
            none => none.insert(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?),
        };
        let cookie = &self.cookie;
        let request = format!(
            "GET /foo HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n{cookie}\r\n"
        );
        link.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let answer = loop {
            if link.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = Answer::parse(&self.buffer)? {
                break answer;
            }
        };
        if let Some(pair) = &answer.cookie {
            self.cookie = format!("Cookie: {pair}\r\n");
        }
        Ok(answer)
    }
}

#[derive(Default)]
struct Answer {
    status: u16,
    cookie: Option<String>,
    retry_after: Duration,
    views: Option<u64>,
    /// Whether a 503 says that the view may have been counted.
    is_outcome_unknown: bool,
}

impl Answer {
    /// Returns nothing if there is more to come.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(bytes).map_err(io::Error::other)?;
        let httparse::Status::Complete(head) = parsed else { return Ok(None) };
        let mut answer = Self { status: response.code.unwrap_or(0), ..Self::default() };
        let mut length = 0;
        for header in response.headers.iter() {
            let value = String::from_utf8_lossy(header.value);
            if header.name.eq_ignore_ascii_case("content-length") {
                length = value.parse().map_err(io::Error::other)?;
            } else if header.name.eq_ignore_ascii_case("retry-after") {
                answer.retry_after = Duration::from_secs(value.parse().unwrap_or(1));
            } else if header.name.eq_ignore_ascii_case("set-cookie") {
                answer.cookie = value.split(';').next().map(str::to_owned);
            }
        }
        let Some(body) = bytes.get(head..head + length) else { return Ok(None) };
        let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let json = json.unwrap_or_default();
        answer.views = json["views"].as_u64();
        answer.is_outcome_unknown = json["is_outcome_unknown"] == true;
        Ok(Some(answer))
    }
}

#[derive(Serialize)]
struct Report {
    visitors: usize,
    seconds: f64,
    served: Latencies,
    refused: Latencies,
    other: BTreeMap<String, u64>,
    /// Views that count and were not answered with 200. Those with another outcome may.
    counted_and_refused: i64,
    /// Views that were answered with 200 and do not count.
    lost: i64,
}

impl Report {
    fn of(crowd: &[Visitor], seconds: f64) -> Self {
        let mut other = BTreeMap::new();
        for (what, count) in crowd.iter().flat_map(|it| &it.other) {
            *other.entry(what.clone()).or_default() += count;
        }
        Self {
            visitors: crowd.len(),
            seconds,
            served: Latencies::of(crowd.iter().flat_map(|it| &it.served)),
            refused: Latencies::of(crowd.iter().flat_map(|it| &it.refused)),
            other,
            counted_and_refused: 0,
            lost: 0,
        }
    }

    fn add(&mut self, checked: &Checked) {
        self.lost += (-checked.surplus).max(0);
        self.counted_and_refused += (checked.surplus - checked.unknown.cast_signed()).max(0);
    }
}

/// In milliseconds.
#[derive(Serialize)]
struct Latencies {
    count: usize,
    p50: f64,
    p99: f64,
    max: f64,
}

impl Latencies {
    fn of<'a>(micros: impl Iterator<Item = &'a u32>) -> Self {
        let mut all: Vec<_> = micros.copied().collect();
        all.sort_unstable();
        let at = |hundredths: usize| {
            let index = (all.len() * hundredths / 100).min(all.len().saturating_sub(1));
            all.get(index).map_or(0.0, |it| f64::from(*it) / 1e3)
        };
        Self { count: all.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}
