//! The whole HTML of each page, without the parts that differ from view to view. To accept changes,
//! review them and run the tests with `INSTA_UPDATE=always`.

use cloud_run_sessions::config;
use insta::assert_snapshot;
use rocket::local::blocking::Client;

use crate::pages::client;
use crate::session_page::redirect_of;

/// A page, with dots in place of names, times and hashes.
fn html(client: &Client, path: &str) -> String {
    let page = client.get(path.to_owned()).dispatch().into_string().unwrap();
    [
        ("<code>", "</code>"),
        ("datetime=\"", "</time>"),
        ("<span class=\"exact\">20", "</span>"),
        ("/static/style.", ".css"),
        ("/static/favicon.", ".svg"),
    ]
    .into_iter()
    .fold(page, |page, (before, after)| blank(&page, before, after))
}

/// Replaces everything between the two texts by dots.
fn blank(page: &str, before: &str, after: &str) -> String {
    let mut parts = page.split(before);
    let mut blanked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, rest) = part.split_once(after).unwrap();
        blanked.extend([before, "…", after, rest]);
    }
    blanked
}

#[test]
fn html_of_home_at_the_first_view() {
    assert_snapshot!(html(&client(), "/"));
}

#[test]
fn html_of_a_page_at_a_later_view() {
    let client = client();
    for path in ["/", "/bar", "/foo", "/foo", "/foo", "/foo"] {
        html(&client, path);
    }
    assert_snapshot!(html(&client, "/foo"));
}

#[test]
fn html_of_the_session() {
    let client = client();
    html(&client, "/foo");
    let next = redirect_of(&client, "/session/regenerate");
    assert_snapshot!(html(&client, &next));
}

#[test]
fn html_of_no_session() {
    assert_snapshot!(html(&client(), "/session"));
}

#[test]
fn html_of_about() {
    assert_snapshot!(html(&client(), "/about"));
}

#[test]
fn html_of_an_unknown_page() {
    assert_snapshot!(html(&client(), "/nowhere"));
}

#[test]
fn html_of_an_outage() {
    let figment = config::figment().merge(("session.url", "redis://127.0.0.1:1"));
    let client = Client::tracked(cloud_run_sessions::rocket().configure(figment)).unwrap();
    assert_snapshot!(html(&client, "/foo"));
}
