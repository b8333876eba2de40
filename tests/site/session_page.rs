//! The page of the visitor's own session: it shows, renews and destroys it.

use rocket::http::{Accept, ContentType, Header, Status};
use rocket::local::blocking::Client;

use crate::pages::client;

fn body(client: &Client, path: &str) -> String {
    client.get(path.to_owned()).dispatch().into_string().unwrap()
}

fn post<'c>(
    client: &'c Client,
    path: &'c str,
    from: Option<(&'static str, &'static str)>,
) -> Status {
    let mut request = client.post(path).header(Header::new("Host", "localhost:8080"));
    if let Some((name, value)) = from {
        request.add_header(Header::new(name, value));
    }
    request.dispatch().status()
}

/// Posts, and returns where the response redirects to.
pub fn redirect_of(client: &Client, path: &str) -> String {
    let response = client.post(path.to_owned()).dispatch();
    assert_eq!(response.status(), Status::SeeOther);
    response.headers().get_one("Location").unwrap().to_owned()
}

#[test]
fn session_page_of_a_stranger_starts_no_session() {
    let client = client();
    assert!(body(&client, "/session").contains("You have no session yet"));
    assert!(client.cookies().get("session").is_none());
}

#[test]
fn session_page_shows_the_session_and_no_token() {
    let client = client();
    body(&client, "/foo");
    let page = body(&client, "/session");
    assert!(page.contains("Views in all: 1"), "{page}");
    let cookie = client.cookies().get("session").unwrap().value().to_owned();
    assert!(!page.contains(&cookie));
    assert!(body(&client, "/session").contains("Views in all: 1"), "looking counts nothing");
}

#[test]
fn session_page_is_not_fetched_ahead_because_it_may_have_changed_when_it_is_viewed() {
    let request = client();
    let request = request.get("/session").header(Header::new("Sec-Purpose", "prefetch"));
    assert_eq!(request.dispatch().status().code, 425);
}

#[test]
fn session_as_json_has_its_parts_and_no_token_and_is_null_without_a_session() {
    let client = client();
    let json = || {
        let response = client.get("/session").header(Accept::JSON).dispatch();
        assert_eq!(response.content_type(), Some(ContentType::JSON));
        response.into_json::<serde_json::Value>().unwrap()
    };
    assert_eq!(json(), serde_json::json!({ "session": null }));
    body(&client, "/foo");
    body(&client, "/bar");
    let session = &json()["session"];
    let page = body(&client, "/session");
    for part in ["id", "token_hash", "created", "last_seen", "idle_expiry", "absolute_expiry"] {
        assert!(page.contains(session[part].as_str().unwrap()), "{part}: {session}");
    }
    assert_eq!((&session["store"], &session["views"]), (&"memory".into(), &2.into()));
    assert_eq!(session["fields"], 3);
    let cookie = client.cookies().get("session").unwrap().value().to_owned();
    assert!(!session.to_string().contains(&cookie));
}

#[test]
fn new_token_keeps_the_counts_and_changes_the_cookie() {
    let client = client();
    body(&client, "/foo");
    let old = client.cookies().get("session").unwrap().value().to_owned();
    let next = redirect_of(&client, "/session/regenerate");
    assert_ne!(client.cookies().get("session").unwrap().value(), old);
    assert!(body(&client, &next).contains("Your ticket has a new token"));
    assert!(body(&client, "/foo").contains("You viewed this page 2 times<"));
}

#[test]
fn new_token_changes_the_token_hash_and_keeps_the_public_id() {
    let client = client();
    body(&client, "/foo");
    let shown = |name: &str| {
        let page = body(&client, "/session");
        let (_, after) = page.split_once(&format!("<dt>{name}</dt><dd><code>")).unwrap();
        after.split('<').next().unwrap().to_owned()
    };
    let (id, token_hash) = (shown("Public id"), shown("Token hash"));
    post(&client, "/session/regenerate", None);
    assert_eq!(shown("Public id"), id);
    assert_ne!(shown("Token hash"), token_hash);
}

#[test]
fn forget_me_destroys_the_session_and_clears_the_cookie() {
    let client = client();
    body(&client, "/foo");
    let next = redirect_of(&client, "/session/destroy");
    assert!(client.cookies().get("session").is_none_or(|it| it.value().is_empty()));
    assert!(body(&client, &next).contains("You are forgotten"));
    assert!(body(&client, "/foo").contains("You viewed this page 1 time<"));
}

#[test]
fn links_cannot_tell_what_was_not_done() {
    let client = client();
    body(&client, "/foo");
    for path in ["/session?destroyed=true", "/session?renewed=0000+0000", "/session?renewed="] {
        let page = body(&client, path);
        assert!(page.contains("Views in all: 1"), "{path}");
        assert!(!page.contains("You are forgotten") && !page.contains("has a new token"), "{path}");
    }
}

#[test]
fn other_sites_cannot_change_the_session() {
    let client = client();
    body(&client, "/foo");
    for path in ["/session/destroy", "/session/regenerate"] {
        for from in [
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
            ("Origin", "https://evil.example"),
            ("Origin", "http://localhost:8081"),
            ("Origin", "null"),
            ("Origin", ""),
        ] {
            assert_eq!(post(&client, path, Some(from)), Status::Forbidden, "{path} {from:?}");
        }
        assert_eq!(client.get(path).dispatch().status(), Status::NotFound, "only by POST");
    }
    for from in [
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "none"),
        ("Origin", "http://localhost:8080"),
    ] {
        assert_eq!(post(&client, "/session/regenerate", Some(from)), Status::SeeOther, "{from:?}");
    }
    assert!(body(&client, "/foo").contains("You viewed this page 2 times<"));
}

#[test]
fn link_from_another_site_counts_in_the_same_session() {
    let client = client();
    body(&client, "/foo");
    let followed =
        client.get("/foo").header(Header::new("Sec-Fetch-Site", "cross-site")).dispatch();
    assert!(followed.into_string().unwrap().contains("You viewed this page 2 times<"));
}
