//! What the cookie contains, and which cookies are accepted.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cookie::{Cookie, CookieJar, Key};
use rocket::http::Status;

use crate::world::{NAME, OTHER_KEY, REDIS, World, on_every_store};

/// Replaces one character of base64. The last characters before the padding hold unused bits, so
/// the new character differs in the highest bit.
fn flipped(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'w' { b'A' } else { b'w' };
    String::from_utf8(bytes).unwrap()
}

on_every_store![
    async fn cookie_has_exactly_the_attributes_that_its_prefix_requires(world: World) {
        let page = world.get("/count/a", None).await;
        let (pair, attributes) = page.set_cookies[0].split_once("; ").unwrap();
        assert!(pair.starts_with("__Host-session="));
        let (attributes, expires) = attributes.split_once("; Expires=").unwrap();
        let (attributes, max_age) = attributes.split_once("; Max-Age=").unwrap();
        assert_eq!(attributes, "HttpOnly; SameSite=Lax; Secure; Path=/");
        assert!((2_591_999..=2_592_000).contains(&max_age.parse::<u32>().unwrap()), "{max_age}");
        assert!(expires.ends_with(" GMT"), "{expires}");
    }

    async fn cookie_has_the_attributes_of_its_settings_when_it_is_set_and_when_it_is_removed(
        world: World,
    ) {
        let plain = world.reconfigured("session.insecure_http", true).await;
        let strict = plain.reconfigured("session.same_site", "strict").await;
        let attributes = |header: &str, name: &str| {
            let (pair, attributes) = header.split_once("; ").unwrap();
            assert!(pair.starts_with(&format!("{name}=")), "{header}");
            attributes
                .split("; ")
                .filter(|it| !it.contains('=') || it.starts_with("Same"))
                .fold(String::new(), |all, it| all + it + " ")
        };
        let cookies = async |world: &World, name: &str| {
            let set = world.get("/count/a", None).await.set_cookies[0].clone();
            let pair = set.split("; ").next().unwrap();
            let removal = world.get("/destroy", Some(pair)).await.set_cookies[0].clone();
            assert_eq!(attributes(&set, name), attributes(&removal, name));
            attributes(&set, name)
        };
        assert_eq!(cookies(&strict, "session").await, "HttpOnly SameSite=Strict ");
        let world = strict.reconfigured("session.insecure_http", false).await;
        let world = world.reconfigured("session.cookie_name", "__session").await;
        let world = world.reconfigured("session.same_site", "none").await;
        assert_eq!(cookies(&world, "__session").await, "HttpOnly SameSite=None Secure ");
    }

    async fn cookie_that_is_not_valid_counts_as_none_and_costs_no_round_trip(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let good = visitor.cookie.unwrap();
        world.store.take_calls();
        let mut wrong: Vec<String> = (0..good.len()).map(|at| flipped(&good, at)).collect();
        wrong.extend((0..good.len()).step_by(7).map(|at| good[..at].to_owned()));
        wrong.extend(["", "x", "../../etc", "{}", "null", "%00", "1.a.b.c.fp"].map(String::from));
        wrong.push(format!("{good}{good}"));
        wrong.push("A".repeat(100_000));
        for value in wrong {
            let page = world.get("/peek/a", Some(&format!("{NAME}={value}"))).await;
            assert_eq!((page.status, page.body.as_str()), (Status::Ok, "0"), "{value}");
            assert!(page.set_cookies.is_empty());
        }
        assert_eq!(world.store.round_trips(), 0);
        let page = world.get("/peek/a", Some(&format!("{NAME}={good}"))).await;
        assert_eq!(page.body, "1", "the valid cookie is still accepted");
    }

    async fn sealed_cookie_of_an_unknown_session_gets_another_id(world: World) {
        let other = World::memory().await;
        let mut stranger = other.visitor();
        stranger.get("/count/a").await;
        let mut visitor = world.visitor();
        visitor.cookie.clone_from(&stranger.cookie);
        let offered = visitor.body("/id").await;
        let page = visitor.get("/count/a").await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("1", 1));
        assert_ne!(visitor.body("/id").await, offered);
        if !world.prefix.is_empty() {
            assert!(
                !world.keys.only().contains(&offered),
                "nothing is stored under the offered id"
            );
        }
    }

    async fn two_cookies_of_different_sessions_count_as_none(world: World) {
        let (mut a, mut b) = (world.visitor(), world.visitor());
        a.get("/count/a").await;
        b.get("/count/a").await;
        let (a, b) = (a.cookie.unwrap(), b.cookie.unwrap());
        for (first, second) in [(&a, &b), (&b, &a)] {
            let header = format!("{NAME}={first}; {NAME}={second}");
            assert_eq!(world.get("/id", Some(&header)).await.body, "none");
        }
        let header = format!("{NAME}=planted; x=y; {NAME}={a}");
        assert_ne!(
            world.get("/id", Some(&header)).await.body,
            "none",
            "an encrypted cookie is accepted"
        );
    }

    async fn two_cookies_of_one_session_count_as_one(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let older = visitor.cookie.clone().unwrap();
        visitor.get("/remember-only/true").await;
        let newer = visitor.cookie.unwrap();
        assert_ne!(older, newer, "the same token, encrypted again");
        for (first, second) in [(&older, &newer), (&newer, &older)] {
            let header = format!("{NAME}={first}; {NAME}={second}");
            let page = world.get("/peek/a", Some(&header)).await;
            assert_eq!((page.body.as_str(), page.set_cookies.len()), ("1", 0));
        }
    }

    async fn value_in_double_quotes_is_accepted(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let header = format!("{NAME}=\"{}\"", visitor.cookie.unwrap());
        assert_eq!(world.get("/peek/a", Some(&header)).await.body, "1");
    }

    async fn only_a_cookie_with_the_exact_name_is_accepted(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let value = visitor.cookie.unwrap();
        for name in [
            "%5F%5FHost-session",
            "\u{2000}__Host-session",
            "__host-session",
            "__Host-session\u{a0}",
            "session",
            "__Host-session2",
        ] {
            let page = world.get("/id", Some(&format!("{name}={value}"))).await;
            assert_eq!(page.body, "none", "{name:?}");
        }
    }

    async fn cookies_of_an_older_key_are_read_and_encrypted_again(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        visitor.get("/count/a").await;
        let old = visitor.cookie.clone();
        let world = world.reconfigured("secret_key", OTHER_KEY).await;
        let world = world.reconfigured("session.previous_keys", vec![crate::world::KEY]).await;
        let mut visitor = world.visitor();
        visitor.cookie.clone_from(&old);
        let page = visitor.get("/count/a").await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("3", 1));
        assert!(
            visitor.get("/count/a").await.set_cookies.is_empty(),
            "it is now encrypted with the new key"
        );
        let world = world.reconfigured("session.previous_keys", Vec::<String>::new()).await;
        let header = page.set_cookies[0].split(';').next();
        assert_eq!(world.get("/peek/a", header).await.body, "4");
    }

    async fn cookies_of_an_unknown_key_are_ignored(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let header = format!("{NAME}={}", visitor.cookie.unwrap());
        let world = world.reconfigured("secret_key", OTHER_KEY).await;
        world.store.take_calls();
        assert_eq!(world.get("/peek/a", Some(&header)).await.body, "0");
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn key_is_the_same_in_hex_as_in_base64(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let header = format!("{NAME}={}", visitor.cookie.unwrap());
        let hex = "d067e746f595f077744ed3ed28a9afc968c02b120659144c55959c20f5861532";
        let world = world.reconfigured("secret_key", hex).await;
        assert_eq!(world.get("/peek/a", Some(&header)).await.body, "1");
    }

    async fn cache_control_of_a_private_response_is_kept(world: World) {
        for (said, sent) in [
            ("private,max-age=60", "private,max-age=60"),
            ("no-store,max-age=0", "no-store,max-age=0"),
            ("public,max-age=60", "no-store"),
        ] {
            let page = world.get(&format!("/cached/{said}"), None).await;
            assert_eq!(page.cache_control.as_deref(), Some(sent));
        }
    }

    async fn other_cookies_of_the_response_survive(world: World) {
        let page = world.get("/cookies", None).await;
        assert_eq!(page.set_cookies.len(), 2, "{:?}", page.set_cookies);
        assert!(page.set_cookies.iter().any(|it| it.starts_with("theme=dark")));
    }

    async fn huge_and_odd_cookie_headers_are_survived(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let good = format!("{NAME}={}", visitor.cookie.unwrap());
        let many = "a=b; ".repeat(5_000) + &good;
        let forged = format!("{NAME}=forged; ").repeat(5_000);
        for (header, expected) in [
            (many.as_str(), "1"),
            (forged.as_str(), "0"),
            (&format!(";;; =; {good} ;"), "1"),
            (&format!("=;{NAME}"), "0"),
            (NAME, "0"),
        ] {
            let page = world.get("/peek/a", Some(header)).await;
            assert_eq!((page.status, page.body.as_str()), (Status::Ok, expected));
        }
    }
];

#[rocket::async_test]
async fn store_holds_no_part_of_the_cookie() {
    let world = World::redis().await;
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    let cookie = visitor.cookie.clone().unwrap();
    let token = token_of(&cookie);
    let (raw, text) = (&token[..], URL_SAFE_NO_PAD.encode(token));
    let key = world.keys.only();
    let held: Vec<String> = redis::cmd("HGETALL").arg(&key).query(&mut REDIS.connect()).unwrap();
    for held in held.iter().chain([&key]) {
        for part in [&text, &text[..8], &cookie] {
            assert!(!held.contains(part), "{held}");
        }
        assert!(!held.as_bytes().windows(8).any(|it| it == &raw[..8]), "{held}");
    }
}

/// The token that a cookie holds: its last 32 bytes.
fn token_of(cookie: &str) -> [u8; 32] {
    let sealed = URL_SAFE_NO_PAD.decode(cookie).unwrap();
    let cookie = Cookie::new(NAME, STANDARD.encode(sealed));
    let key = Key::derive_from(&STANDARD.decode(crate::world::KEY).unwrap());
    let opened = CookieJar::new().private(&key).decrypt(cookie).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(opened.value()).unwrap();
    bytes[bytes.len() - 32..].try_into().unwrap()
}
