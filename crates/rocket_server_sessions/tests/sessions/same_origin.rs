//! The guard against other sites, as browsers and proxies name the site itself.

use rocket::fairing::AdHoc;
use rocket::http::uri::Host;
use rocket::http::{Header, Status};
use rocket::local::asynchronous::Client;
use rocket::{get, routes, uri};
use rocket_server_sessions::SameOrigin;

use crate::world::figment;

#[get("/guarded")]
fn guarded(_same: SameOrigin) {}

async fn status(uri: &str, headers: &[(&'static str, &'static str)]) -> Status {
    let rocket = rocket::custom(figment()).mount("/", routes![guarded]);
    let client = Client::untracked(rocket).await.unwrap();
    let mut request = client.get(uri.to_owned());
    for (name, value) in headers {
        request.add_header(Header::new(*name, *value));
    }
    request.dispatch().await.status()
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
        let headers = [("Host", host), ("Origin", origin)];
        assert_eq!(status("/guarded", &headers).await, Status::Ok, "{host}, {origin}");
    }
}

#[rocket::async_test]
async fn site_is_not_refused_over_http_2_where_its_host_is_no_header() {
    let host = AdHoc::on_request("host of an HTTP/2 request", |request, _| {
        Box::pin(async { request.set_host(Host::from(uri!("example.com"))) })
    });
    let rocket = rocket::custom(figment()).attach(host).mount("/", routes![guarded]);
    let client = Client::untracked(rocket).await.unwrap();
    for (origin, status) in
        [("https://example.com", Status::Ok), ("https://evil.example", Status::Forbidden)]
    {
        let request = client.get("/guarded").header(Header::new("Origin", origin));
        assert_eq!(request.dispatch().await.status(), status, "{origin}");
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
        let headers = [("Host", host), ("Origin", origin)];
        assert_eq!(status("/guarded", &headers).await, Status::Forbidden, "{host}, {origin}");
    }
}
