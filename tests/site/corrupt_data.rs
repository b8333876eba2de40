//! Counts that are not numbers: the next view repairs them.

use redis::Commands;

use test_support::RedisServer;
use test_support::app::App;

#[test]
fn damaged_count_is_mended_by_the_next_view_and_the_others_stay() {
    let redis = RedisServer::start();
    let app = App::on_redis(&redis.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    for text in ["rubbish", "9223372036854775807", "1.5", "-9", "-1", "", "{}", "\u{0}"] {
        visitor.get("/bar");
        let key = redis.keys("session:").remove(0);
        let _: () = redis.connect().hset(&key, "views:/foo", text).unwrap();
        let seen = visitor.get("/bar");
        assert_eq!(seen.status, 200, "{text:?}: {}", seen.body);
        assert_eq!(visitor.get("/foo").views(), 1, "{text:?}");
        assert_eq!(visitor.get("/foo").views(), 2, "{text:?}");
        let held: String = redis.connect().hget(&key, "views:/foo").unwrap();
        assert_eq!(held, "2", "{text:?}");
    }
    app.signal("TERM");
    let (_, log) = app.finish();
    assert_eq!(log.matches("WARN the count in").count(), 8, "one line each:\n{log}");
}
