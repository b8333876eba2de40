//! The guard against other sites, as browsers and proxies name the site itself.

use rocket::fairing::AdHoc;
use rocket::http::uri::Host;
use rocket::http::{Header, Status};
use rocket::local::asynchronous::Client;
use rocket::{get, routes};
use rocket_server_sessions::SameOrigin;

use crate::world::figment;

#[get("/guarded")]
fn guarded(_same: SameOrigin) {}

/// The status of a request to a host. Rocket's local client has none: a server over HTTP/1 takes it
/// from its header, and one over HTTP/2, where it is no header, from the address.
async fn status(host: &'static str, origin: &'static str) -> Status {
    let host = AdHoc::on_request("host", move |request, _| {
        Box::pin(async move { request.set_host(Host::parse(host).unwrap()) })
    });
    let rocket = rocket::custom(figment()).attach(host).mount("/", routes![guarded]);
    let client = Client::untracked(rocket).await.unwrap();
    client.get("/guarded").header(Header::new("Origin", origin)).dispatch().await.status()
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
