//! Records that Redis has lost, or has restored in an older state.

use test_support::RedisServer;
use test_support::app::App;

use crate::trial::assert_keys_have_the_prefix_and_a_ttl;

#[test]
fn b04_b16_b17_lost_and_older_records_are_never_an_error() {
    let redis = RedisServer::start();
    let app = App::on_redis(&redis.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    visitor.get("/foo");
    let key = redis.keys("session:").remove(0);
    let older: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut redis.connect()).unwrap();
    visitor.get("/foo");
    redis::cmd("RESTORE")
        .arg(&key)
        .arg(60_000)
        .arg(older)
        .arg("REPLACE")
        .exec(&mut redis.connect())
        .unwrap();
    assert_eq!(visitor.get("/foo").views(), 3, "an older count goes on");
    for lose in [&["UNLINK", key.as_str()][..], &["FLUSHALL"]] {
        redis::cmd(lose[0]).arg(&lose[1..]).exec(&mut redis.connect()).unwrap();
        let cookie = visitor.cookie.clone();
        let reply = visitor.get("/foo");
        assert_eq!(reply.views(), 1, "a new session begins");
        assert_ne!(visitor.cookie, cookie, "under a new id");
        assert_eq!(visitor.get("/foo").views(), 2);
        assert_keys_have_the_prefix_and_a_ttl(&redis);
        assert!(!redis.keys("").contains(&key), "the old id is not used again");
    }
}
