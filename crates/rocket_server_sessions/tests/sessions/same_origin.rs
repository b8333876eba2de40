//! The guard `SameOrigin`, with the headers that browsers and proxies send.

use rocket::fairing::AdHoc;
use rocket::http::uri::Host;
use rocket::http::{Header, Method, Status};
use rocket::local::asynchronous::Client;
use rocket::{Request, catch, catchers, delete, get, post, routes};
use rocket_server_sessions::{self as session, SameOrigin, Session, SessionFairing};

use crate::world::figment;

#[get("/guarded")]
fn guarded(_same: SameOrigin) {}

/// The status of a request to a host. Rocket's local client sets none: over HTTP/1, a server takes
/// the host from the header, and over HTTP/2, which has no such header, from the request's target.
async fn status(host: &'static str, origin: &'static str) -> Status {
    let host = AdHoc::on_request("host", move |request, _| {
        Box::pin(async move { request.set_host(Host::parse(host).unwrap()) })
    });
    let rocket = rocket::custom(figment()).attach(host).mount("/", routes![guarded]);
    let client = Client::untracked(rocket).await.unwrap();
    client.get("/guarded").header(Header::new("Origin", origin)).dispatch().await.status()
}

#[post("/change")]
fn change() -> &'static str {
    "changed"
}

#[post("/webhooks/<_>")]
fn webhook() -> &'static str {
    "received"
}

#[get("/<_..>")]
fn any() -> &'static str {
    "shown"
}

#[catch(403)]
fn forbidden(request: &Request<'_>) -> String {
    format!("{} is refused", request.uri().path())
}

async fn protected(sessions: SessionFairing) -> Client {
    let rocket = rocket::custom(figment()).attach(sessions);
    let rocket = rocket.mount("/", routes![change, webhook, any]);
    Client::untracked(rocket.register("/", catchers![forbidden])).await.unwrap()
}

#[rocket::async_test]
async fn whole_application_refuses_what_other_sites_send() {
    let fairing = Session::fairing().require_same_origin().allow_cross_site("/webhooks");
    let client = protected(fairing).await;
    let site = |site: &'static str| Header::new("Sec-Fetch-Site", site);
    for (method, path, from, body) in [
        (Method::Post, "/change", "same-origin", "changed"),
        (Method::Post, "/change", "cross-site", "/change is refused"),
        (Method::Post, "/change", "same-site", "/change is refused"),
        (Method::Put, "/none", "cross-site", "/none is refused"),
        (Method::Delete, "/change", "cross-site", "/change is refused"),
        (Method::Get, "/change", "cross-site", "shown"),
        (Method::Post, "/webhooks/a", "cross-site", "received"),
        (Method::Post, "/webhooks//a", "cross-site", "received"),
        (Method::Post, "/webhooksx", "cross-site", "/webhooksx is refused"),
        (Method::Post, "/change/webhooks", "cross-site", "/change/webhooks is refused"),
        (Method::Post, "/%63hange", "cross-site", "/%63hange is refused"),
    ] {
        let response = client.req(method, path).header(site(from)).dispatch().await;
        let status = response.status();
        assert_eq!(response.into_string().await.unwrap(), body, "{method} {path} {from}");
        assert_eq!(status == Status::Forbidden, body.ends_with("refused"), "{method} {path}");
    }
    let response = client.post("/change").dispatch().await;
    assert_eq!(response.status(), Status::Ok, "a client that is not a browser");
}

#[rocket::async_test]
async fn application_that_does_not_ask_for_it_is_not_protected() {
    let client = protected(Session::fairing()).await;
    let request = client.post("/change").header(Header::new("Sec-Fetch-Site", "cross-site"));
    assert_eq!(request.dispatch().await.status(), Status::Ok);
}

#[rocket::async_test]
async fn exception_that_is_not_a_path_fails_the_launch() {
    let fairing = Session::fairing().allow_cross_site("webhooks");
    let launch = Client::untracked(rocket::custom(figment()).attach(fairing)).await;
    assert!(launch.inspect_err(|error| drop(error.to_string())).is_err());
}

#[rocket::async_test]
async fn site_is_not_refused_for_the_port_that_its_scheme_implies() {
    for (host, origin) in [
        ("example.com:443", "https://example.com"),
        ("example.com", "https://example.com:443"),
        ("example.com:80", "http://example.com"),
        ("example.com:8080", "http://example.com:8080"),
        ("EXAMPLE.com", "https://example.COM"),
        ("[::1]:443", "https://[::1]"),
    ] {
        assert_eq!(status(host, origin).await, Status::Ok, "{host}, {origin}");
    }
}

#[rocket::async_test]
async fn other_ports_schemes_and_names_are_other_sites() {
    for (host, origin) in [
        ("example.com", "https://example.com:8443"),
        ("example.com:8080", "http://example.com"),
        ("example.com:80", "https://example.com"),
        ("example.com", "https://www.example.com"),
        ("example.com", "https://example.com.evil.example"),
        ("example.com", "null"),
        ("example.com", ""),
    ] {
        assert_eq!(status(host, origin).await, Status::Forbidden, "{host}, {origin}");
    }
}

#[delete("/account")]
async fn delete_account(session: Session<'_>) -> session::Result<&'static str> {
    session.destroy().await?;
    Ok("deleted")
}

/// The status of a request from another site with `DELETE` in its query, behind a fairing that uses
/// it as the method.
async fn overridden(method: Method, is_attached_first: bool) -> Status {
    let overriding = AdHoc::on_request("override", |request, _| {
        Box::pin(async move {
            if request.query_value::<&str>("_method").is_some() {
                request.set_method(Method::Delete);
            }
        })
    });
    let (rocket, sessions) = (rocket::custom(figment()), Session::fairing().require_same_origin());
    let rocket = if is_attached_first {
        rocket.attach(overriding).attach(sessions)
    } else {
        rocket.attach(sessions).attach(overriding)
    };
    let client = Client::untracked(rocket.mount("/", routes![delete_account])).await.unwrap();
    let request = client.req(method, "/account?_method=delete");
    request.header(Header::new("Sec-Fetch-Site", "cross-site")).dispatch().await.status()
}

#[rocket::async_test]
async fn route_with_a_session_refuses_other_sites_even_if_a_later_fairing_changes_the_method() {
    for method in [Method::Post, Method::Get] {
        for is_attached_first in [true, false] {
            let status = overridden(method, is_attached_first).await;
            assert_eq!(status, Status::Forbidden, "{method}, first: {is_attached_first}");
        }
    }
}

#[rocket::async_test]
async fn websocket_of_another_site_is_refused_although_it_begins_with_get() {
    let client = protected(Session::fairing().require_same_origin()).await;
    let handshake = |origin: &'static str| {
        let request = client.get("/socket").header(Header::new("Host", "own.example"));
        let request = request.header(Header::new("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="));
        request.header(Header::new("Origin", origin))
    };
    let status = handshake("https://elsewhere.example").dispatch().await.status();
    assert_eq!(status, Status::Forbidden);
    assert_eq!(handshake("https://own.example").dispatch().await.status(), Status::Ok);
}
