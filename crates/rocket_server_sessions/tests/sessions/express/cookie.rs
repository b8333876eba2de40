//! Which old cookies are used, and how they are removed.

use redis::Commands;
use rocket::http::Header;
use rocket_server_sessions::express::Import;
use rocket_server_sessions::{Event, Rejection};

use super::{Migration, RECORD, SECRET, carry_over, signed};
use crate::world::{NAME, OnEachStore, on_every_store, redis_store};

on_every_store![
    async fn session_cookie_takes_precedence_over_the_old_cookie(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        let cookie = visitor.old.take();
        assert_eq!(visitor.body("/count/a").await, "1");
        visitor.old = cookie;
        assert_eq!(visitor.body("/count/a").await, "2");
        assert_eq!(old.record("id").as_deref(), Some(RECORD));
        visitor.own = Some("A".repeat(127));
        assert_eq!(visitor.body("/count/a").await, "4", "ours was not valid");
    }

    async fn forged_cookie_leads_to_nothing(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        visitor.old = Some(signed("id", "guessed"));
        assert_eq!(visitor.body("/text/a").await, "none");
        assert_eq!(visitor.body("/count/a").await, "1");
        assert_eq!((old.record("id").as_deref(), old.claims()), (Some(RECORD), 0));
    }

    async fn cookie_without_a_record_begins_a_new_session(old: Migration) {
        let mut visitor = old.visitor("id", RECORD);
        let key = old.key("id");
        old.server.connect_to(&key).del::<_, ()>(&key).unwrap();
        assert_eq!(visitor.body("/text/a").await, "none");
        assert_eq!(visitor.old, None, "it would cost a round trip at each request");
        assert_eq!(visitor.without_our_cookie().body("/count/a").await, "1");
        assert_eq!(old.claims(), 0);
    }

    async fn cookie_that_no_secret_verifies_is_counted_and_an_unsigned_one_is_not(old: Migration) {
        let unverified = Event::Rejected(Rejection::UnverifiedOldCookie);
        let mut visitor = old.visitor("id", RECORD);
        for (cookie, count) in [
            (signed("id", "keyboard cat\n"), 1),
            (signed("id", SECRET), 0),
            ("s%3Aid.AAAA".to_owned(), 0),
            ("else".to_owned(), 0),
        ] {
            (visitor.old, visitor.own) = (Some(cookie.clone()), None);
            visitor.get("/text/a").await;
            let events = old.world.take_events();
            assert_eq!(events.iter().filter(|it| **it == unverified).count(), count, "{cookie}");
        }
    }

    async fn old_cookie_that_another_site_sends_is_not_used(old: Migration) {
        let visitor = old.visitor("id", RECORD);
        for is_imported in [false, true] {
            if is_imported {
                visitor.clone().get("/count/a").await;
            }
            let mut request = old.world.client.get("/text/a");
            let cookie = format!("connect.sid={}", signed("id", SECRET));
            request.add_header(Header::new("Cookie", cookie));
            request.add_header(Header::new("Sec-Fetch-Site", "cross-site"));
            request.add_header(Header::new("Sec-Fetch-Dest", "iframe"));
            let response = request.dispatch().await;
            assert_eq!(response.headers().get("Set-Cookie").count(), 0);
            assert_eq!(response.into_string().await.unwrap(), "none", "imported: {is_imported}");
        }
    }

    async fn old_cookie_in_a_handshake_of_another_origin_is_not_used(old: Migration) {
        for (number, (origin, body)) in
            [("https://evil.example", "none"), ("null", "none"), ("https://shop.example", "kept")]
                .into_iter()
                .enumerate()
        {
            let visitor = old.visitor(&format!("id{number}"), RECORD);
            let mut request = old.world.client.get("/text/a");
            request.add_header(Header::new("Host", "shop.example"));
            request
                .add_header(Header::new("Cookie", format!("connect.sid={}", visitor.old.unwrap())));
            request.add_header(Header::new("Sec-WebSocket-Key", "x"));
            request.add_header(Header::new("Origin", origin));
            let response = request.dispatch().await;
            assert_eq!(response.into_string().await.unwrap(), body, "{origin}");
        }
    }
];

#[rocket::async_test]
async fn removal_of_the_old_cookie_has_the_scope_that_it_was_set_with() {
    let old = Migration::in_redis().await;
    let record = r#"{"cookie":{"path":"/shop","domain":"example.com"},"views":1}"#;
    let visitor = old.visitor("id", record);
    let header = format!("connect.sid={}", visitor.old.unwrap());
    let page = old.world.get("/count/a", Some(&header)).await;
    let removal = page.set_cookies.iter().find(|it| it.starts_with("connect.sid=;")).unwrap();
    assert!(removal.contains("Path=/shop") && removal.contains("Domain=example.com"), "{removal}");
    assert!(removal.contains("Max-Age=0"), "{removal}");
}

#[rocket::async_test]
async fn scope_that_no_header_can_have_is_not_used() {
    let old = Migration::in_redis().await;
    let record = r#"{"cookie":{"path":"/; Domain=a","domain":"a\r\nX: y"},"views":1}"#;
    let visitor = old.visitor("id", record);
    let header = format!("connect.sid={}", visitor.old.unwrap());
    let page = old.world.get("/count/a", Some(&header)).await;
    let removal = page.set_cookies.iter().find(|it| it.starts_with("connect.sid=;")).unwrap();
    assert!(removal.contains("Path=/;") && !removal.contains("Domain"), "{removal}");
}

#[rocket::async_test]
async fn removal_of_a_cookie_whose_record_is_gone_has_the_scope_in_the_settings() {
    let old = Migration::in_redis().await;
    let claims = redis_store(&old.claims);
    let import = Import::new(SECRET, carry_over).prefix(&old.old).redis(claims);
    let import = import.cookie_domain("example.com").cookie_path("/shop");
    let of_settings = ("Path=/shop;", Some("Domain=example.com;"));
    old.visitor("id", r#"{"cookie":{"path":"/own"},"views":1}"#);
    old.visitor("beside", RECORD);
    let mut own = old.world.visitor();
    own.body("/count/a").await;
    let own = format!("{NAME}={}", own.cookie.unwrap());
    let world = old.world.rebuilt(|it| it.import(import)).await;
    let removed = async |path: &str, cookies: &str| {
        let page = world.get(path, Some(cookies)).await;
        let removal = page.set_cookies.into_iter().find(|it| it.starts_with("connect.sid=;"));
        removal.map(|it| it + ";").expect("it is removed")
    };
    let old_cookie = |id: &str| format!("connect.sid={}", signed(id, SECRET));
    for (context, path, cookies, (scope, domain)) in [
        ("its record says otherwise", "/count/a", old_cookie("id"), ("Path=/own;", None)),
        ("imported before", "/count/a", old_cookie("id"), of_settings),
        ("no record", "/text/a", old_cookie("gone"), of_settings),
        ("ended", "/destroy", format!("{}; {own}", old_cookie("beside")), of_settings),
    ] {
        let removal = removed(path, &cookies).await;
        assert!(removal.contains(scope), "{context}: {removal}");
        match domain {
            Some(domain) => assert!(removal.contains(domain), "{context}: {removal}"),
            None => assert!(!removal.contains("Domain"), "{context}: {removal}"),
        }
    }
}
