//! Load for minutes or hours, with a fault of some kind every few seconds.
//!
//!     cargo test --test faults soak -- --ignored --nocapture
//!     SOAK_SECONDS=3600 cargo test --test faults soak -- --ignored --nocapture

use std::time::{Duration, Instant};

use crate::proxy::{self, Proxy, Wire};
use crate::trial::{Trial, Usage};
use test_support::RedisServer;

const USUAL_SECONDS: u64 = 600;

/// How often the process's usage is read.
const LOOK: Duration = Duration::from_secs(20);

/// A random number below `end`.
fn random(end: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % end
}

/// Begins a random fault, and returns its name.
fn begin(redis: &RedisServer, proxy: &mut Proxy) -> &'static str {
    let bytes = usize::try_from(random(120)).unwrap();
    let (name, fault) = match random(11) {
        0 => {
            redis.signal("STOP");
            return "stopped";
        }
        1 => {
            proxy.close();
            return "port closed";
        }
        2 => {
            proxy.close_connections();
            return "connections closed";
        }
        3 => {
            redis::cmd("CONFIG")
                .arg(&["SET", "maxmemory", "1"])
                .exec(&mut redis.connect())
                .unwrap();
            return "out of memory";
        }
        4 => ("late by 100 ms", proxy::late(Duration::from_millis(100))),
        5 => ("late by 1 s", proxy::late(Duration::from_secs(1))),
        6 => ("trickling", proxy::trickling(Duration::from_millis(50))),
        7 => ("swallowing", proxy::swallowing()),
        8 => ("reset", proxy::cut_after(bytes, Wire::reset)),
        9 => ("end of file", proxy::cut_after(bytes, Wire::end)),
        _ => ("replies to nothing", proxy::injecting(b":1\r\n".to_vec())),
    };
    proxy.set(fault);
    name
}

fn end(name: &str, redis: &RedisServer, proxy: &mut Proxy) {
    match name {
        "stopped" => redis.signal("CONT"),
        "port closed" => proxy.open(),
        "connections closed" => {}
        "out of memory" => {
            redis::cmd("CONFIG")
                .arg(&["SET", "maxmemory", "0"])
                .exec(&mut redis.connect())
                .unwrap();
        }
        _ => proxy.set(proxy::faultless()),
    }
}

#[test]
#[ignore = "takes ten minutes, or SOAK_SECONDS"]
fn soak_under_faults_of_all_kinds_loses_nothing_and_grows_nothing() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|it| it.parse().ok());
    let lasting = Duration::from_secs(seconds.unwrap_or(USUAL_SECONDS));
    let redis = RedisServer::start();
    let mut proxy = Proxy::before(redis.port);
    let mut trial = Trial::start("Soak, a fault every few seconds", &redis, &proxy.url());
    let start = Instant::now();
    let mut looks = Vec::new();
    let mut faults = 0;
    println!("| seconds | faults | memory in KB | threads | descriptors |\n|---|---|---|---|---|");
    while start.elapsed() < lasting {
        if start.elapsed() >= LOOK * u32::try_from(looks.len()).unwrap() {
            let usage = Usage::of(trial.app.pid());
            let Usage { threads, descriptors, memory_kb } = usage;
            let at = start.elapsed().as_secs();
            println!("| {at} | {faults} | {memory_kb} | {threads} | {descriptors} |");
            looks.push(usage);
        }
        trial.strangers(20);
        let fault = begin(&redis, &mut proxy);
        trial.with_fault(Duration::from_millis(500 + random(2_000)));
        end(fault, &redis, &mut proxy);
        trial.assert_recovers();
        faults += 1;
    }
    assert_flat(&looks);
    trial.end(&redis, 1..=faults * 4);
}

/// The later half uses no more than the earlier half, apart from its own variation.
fn assert_flat(looks: &[Usage]) {
    // It takes a while until everything is allocated that is kept, such as buffers of each thread.
    let settled = &looks[looks.len() / 4..];
    if settled.len() < 8 {
        return;
    }
    let (earlier, later) = settled.split_at(settled.len() / 2);
    let measures = |it: &Usage| [it.memory_kb, it.threads, it.descriptors];
    for (at, what) in ["KB of memory", "threads", "descriptors"].into_iter().enumerate() {
        let number = |part: &[Usage]| u64::try_from(part.len()).unwrap();
        let of = |it: &Usage| measures(it)[at];
        let mean = |part: &[Usage]| part.iter().map(of).sum::<u64>() / number(part);
        let highest = earlier.iter().map(of).max().unwrap_or_default();
        let (before, after) = (mean(earlier), mean(later));
        println!("{what}: {before} on average, then {after}; at most {highest} before");
        assert!(after <= highest.max(before + before / 20), "{what} grow: {before}, {after}");
    }
}
