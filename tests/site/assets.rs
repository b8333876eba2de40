//! The stylesheet and the icon: small, cached for a year, and found while revisions change.

use rocket::http::{Header, Status};
use rocket::local::blocking::{Client, LocalResponse};

use crate::pages::client;

/// The path of the stylesheet that a page links to.
fn stylesheet(client: &Client) -> String {
    let page = client.get("/about").dispatch().into_string().unwrap();
    let (_, link) = page.split_once("<link rel=\"stylesheet\" href=\"").unwrap();
    link.split('"').next().unwrap().to_owned()
}

fn get<'c>(client: &'c Client, path: &'c str, encoding: &'static str) -> LocalResponse<'c> {
    client.get(path).header(Header::new("Accept-Encoding", encoding)).dispatch()
}

fn header<'r>(response: &'r LocalResponse<'_>, name: &str) -> Option<&'r str> {
    response.headers().get_one(name)
}

#[test]
fn page_asks_for_one_stylesheet_under_a_name_that_is_kept_for_a_year() {
    let client = client();
    let page = client.get("/").dispatch().into_string().unwrap();
    assert_eq!(page.matches("<link rel=\"stylesheet\"").count(), 1);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<style"));
    let path = stylesheet(&client);
    let response = get(&client, &path, "gzip");
    assert_eq!(header(&response, "Cache-Control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(header(&response, "Vary"), Some("Accept-Encoding"));
    assert_eq!(header(&response, "Content-Type"), Some("text/css; charset=utf-8"));
    assert_eq!(header(&response, "Set-Cookie"), None);
}

#[test]
fn stylesheet_is_compressed_for_those_who_take_it_and_small_for_all() {
    let client = client();
    let path = stylesheet(&client);
    let plain = std::fs::read("static/style.css").unwrap();
    for accepted in ["gzip", "br, gzip", "deflate, GZIP;q=0.5"] {
        let response = get(&client, &path, accepted);
        assert_eq!(header(&response, "Content-Encoding"), Some("gzip"), "{accepted}");
        let body = response.into_bytes().unwrap();
        assert!(body.starts_with(&[0x1f, 0x8b]) && body.len() * 2 < plain.len());
        assert!(body.len() <= 10_240, "{} bytes", body.len());
    }
    for refused in ["", "identity", "br", "gzip;q=0", "gzip; q=0.000"] {
        let response = get(&client, &path, refused);
        assert_eq!(header(&response, "Content-Encoding"), None, "{refused}");
        assert_eq!(header(&response, "Vary"), Some("Accept-Encoding"));
        assert_eq!(response.into_bytes().unwrap(), plain);
    }
}

#[test]
fn file_that_the_browser_has_is_not_sent_again() {
    let client = client();
    for encoding in ["gzip", "identity"] {
        let tag = header(&get(&client, "/static/style.css", encoding), "ETag").unwrap().to_owned();
        let again = |known: String| {
            let encoding = Header::new("Accept-Encoding", encoding);
            let known = Header::new("If-None-Match", known);
            client.get("/static/style.css").header(encoding).header(known).dispatch()
        };
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
            let response = again(known);
            assert_eq!(response.status(), Status::NotModified);
            assert_eq!(header(&response, "ETag"), Some(&*tag));
            assert_eq!(header(&response, "Vary"), Some("Accept-Encoding"));
            assert!(response.into_bytes().unwrap_or_default().is_empty());
        }
        assert_eq!(again("\"other\"".into()).status(), Status::Ok);
    }
}

#[test]
fn name_from_another_revision_is_answered_and_kept_nowhere() {
    let client = client();
    for path in ["/static/style.css", "/static/style.0123456789ab.css"] {
        let response = client.get(path).dispatch();
        assert_eq!(response.status(), Status::Ok, "{path}");
        assert_eq!(header(&response, "Cache-Control"), Some("no-cache"), "{path}");
    }
    for path in ["/static/", "/static/nowhere.css", "/static/..%2fCargo.toml", "/static/style"] {
        let response = client.get(path).dispatch();
        assert_eq!(response.status(), Status::NotFound, "{path}");
        assert_eq!(header(&response, "Cache-Control"), Some("no-store"), "{path}");
    }
}
