//! Cookies that are damaged, in quotes, or hidden from the request.

use log::{Level, Record};
use rocket::fairing::AdHoc;
use rocket::http::{ContentType, Header, Method};
use rocket::local::asynchronous::Client;
use rocket::{get, post, routes};
use rocket_server_sessions::{
    self as session, Event, Key, Rejection, Session, note_dropped_cookies,
};

use crate::world::{NAME, World, figment, on_every_store};

on_every_store![
    async fn damaged_cookie_is_told_apart_by_how_it_was_damaged(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let good = visitor.cookie.unwrap();
        world.take_events();
        let swapped: String = good.chars().rev().collect();
        for (value, why) in [
            (&good[..100], Rejection::CutOff),
            (&format!("{good}="), Rejection::Malformed),
            (&format!("%22{good}%22"), Rejection::Malformed),
            (&format!("\"{good}"), Rejection::Malformed),
            (&"A".repeat(100_000), Rejection::Malformed),
            (&swapped, Rejection::InvalidCookie),
        ] {
            let page = world.get("/peek/a", Some(&format!("{NAME}={value}"))).await;
            assert_eq!(page.body, "0");
            assert_eq!(world.take_events(), [Event::Rejected(why)], "{value}");
        }
    }

    async fn quoted_cookie_is_accepted_and_noticed(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        let header = format!("{NAME}=\"{}\"", visitor.cookie.clone().unwrap());
        visitor.get("/count/a").await;
        world.settled().await;
        world.take_events();
        let page = world.get("/count/a", Some(&header)).await;
        assert_eq!((page.body.as_str(), page.set_cookies.len()), ("3", 0));
        assert!(matches!(world.take_events()[..], [Event::Quoted(_)]));
    }

    async fn first_return_of_a_session_is_noticed_once_however_it_is_used(world: World) {
        let mut visitor = world.visitor();
        for path in ["/count/a", "/peek/a", "/view/a", "/regenerate", "/count/a"] {
            visitor.get(path).await;
            world.settled().await;
        }
        let returns = |it: &Event| matches!(it, Event::Returned(_));
        assert_eq!(world.take_events().into_iter().filter(returns).count(), 1);
    }
];

const COUNT: Key<i64> = Key::new("count");

#[get("/")]
async fn look(session: Session<'_>) -> session::Result<String> {
    let count = session.increment(COUNT, 1).await?;
    Ok(format!("{count} {:?}", session.rejection()))
}

#[post("/")]
async fn change(session: Session<'_>) -> session::Result<String> {
    look(session).await
}

#[post("/log-in")]
async fn log_in(session: Session<'_>) -> session::Result<()> {
    session.log_in("alice", "phone").await
}

#[post("/leave")]
async fn leave(session: Session<'_>) -> session::Result<()> {
    look(session).await?;
    session.destroy().await
}

/// Whether a request without a cookie, sent from there, gets one.
async fn gets_cookie(same_site: &str, method: Method, path: &str, from: &'static str) -> bool {
    let figment = figment().merge(("session.same_site", same_site));
    let rocket = rocket::custom(figment).attach(Session::fairing());
    let rocket = rocket.mount("/", routes![look, change, log_in, leave]);
    let client = Client::untracked(rocket).await.unwrap();
    let request = client.req(method, path).header(Header::new("Sec-Fetch-Site", from));
    request.dispatch().await.headers().contains("Set-Cookie")
}

#[rocket::async_test]
async fn request_of_another_site_that_hides_the_cookie_does_not_replace_it() {
    use Method::{Get, Post};
    for (same_site, method, is_set) in [
        ("lax", Get, true),
        ("lax", Post, false),
        ("strict", Get, false),
        ("strict", Post, false),
        ("none", Get, true),
        ("none", Post, true),
    ] {
        let cross = gets_cookie(same_site, method, "/", "cross-site").await;
        assert_eq!(cross, is_set, "{same_site} {method}");
        for from in ["same-origin", "same-site", "none"] {
            assert!(gets_cookie(same_site, method, "/", from).await, "{same_site} {method} {from}");
        }
    }
    assert!(!gets_cookie("lax", Post, "/leave", "cross-site").await, "it is not removed either");
    assert!(
        gets_cookie("lax", Post, "/log-in", "cross-site").await,
        "a log-in replaces the cookie"
    );
}

#[rocket::async_test]
async fn form_and_embedded_page_of_another_site_are_distinguished_from_a_link() {
    let rocket = rocket::custom(figment()).attach(Session::fairing());
    let client = Client::untracked(rocket.mount("/", routes![look])).await.unwrap();
    let gets_cookie = async |method, header: (&'static str, &'static str), body: &str| {
        let request = client.req(method, "/").header(ContentType::Form).body(body);
        let request = request.header(Header::new("Sec-Fetch-Site", "cross-site"));
        let request = request.header(Header::new(header.0, header.1));
        request.dispatch().await.headers().contains("Set-Cookie")
    };
    assert!(gets_cookie(Method::Get, ("Sec-Fetch-Dest", "document"), "").await, "a link");
    assert!(!gets_cookie(Method::Get, ("Sec-Fetch-Dest", "iframe"), "").await);
    // Rocket treats this as a GET request.
    let origin = ("Origin", "https://elsewhere.example");
    assert!(!gets_cookie(Method::Post, origin, "_method=get").await);
}

#[rocket::async_test]
async fn handler_learns_why_a_cookie_was_ignored() {
    let world = World::memory().await;
    let why = async |cookies: Option<&str>| world.get("/why", cookies).await.body;
    assert_eq!(why(None).await, "None");
    assert_eq!(why(Some("x=y")).await, "None");
    let mut visitor = world.visitor();
    visitor.get("/count/a").await;
    let good = format!("{NAME}={}", visitor.cookie.clone().unwrap());
    assert_eq!(why(Some(&good)).await, "None");
    assert_eq!(why(Some(&good[..100])).await, "Some(CutOff)");
    world.advance(40 * 86_400).await;
    visitor.cookie = None;
    visitor.get("/count/a").await;
    let good = format!("{NAME}={}", visitor.cookie.unwrap());
    world.advance(7200).await;
    assert!(why(Some(&good)).await.starts_with("Some(Missing("));
}

#[rocket::async_test]
async fn cookie_that_rocket_drops_is_not_replaced_if_an_earlier_fairing_uses_the_session() {
    let early = AdHoc::on_request("early", |request, _| {
        Box::pin(async move {
            // As Rocket does, before all fairings.
            let text = format_args!("Header 'cookie' contains invalid UTF-8");
            let record = Record::builder()
                .level(Level::Warn)
                .target("rocket::request::request")
                .args(text)
                .build();
            assert!(note_dropped_cookies(&record));
            assert_eq!(
                Session::of(request).unwrap().rejection(),
                Some(Rejection::UnreadableHeader)
            );
        })
    });
    let rocket = rocket::custom(figment()).attach(early).attach(Session::fairing());
    let client = Client::untracked(rocket.mount("/", routes![look])).await.unwrap();
    // Rocket answers each request in a task of its own.
    let request = async move { client.get("/").dispatch().await.headers().contains("Set-Cookie") };
    assert!(!rocket::tokio::spawn(request).await.unwrap());
}
