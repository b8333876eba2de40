//! The content of the pages, and the effect of requests for them.

use cloud_run_sessions::config;
use rocket::http::{Accept, ContentType, Header, Method, Status};
use rocket::local::blocking::{Client, LocalResponse};
use rocket::{get, routes};

pub fn client() -> Client {
    Client::tracked(cloud_run_sessions::rocket()).unwrap()
}

fn html(client: &Client, path: &str) -> String {
    let response = client.get(path.to_owned()).dispatch();
    assert_eq!((response.status(), response.content_type()), (Status::Ok, Some(ContentType::HTML)));
    response.into_string().unwrap()
}

fn json<'c>(client: &'c Client, path: &'c str) -> LocalResponse<'c> {
    client.get(path).header(Accept::JSON).dispatch()
}

#[test]
fn page_counts_its_own_views_and_says_so_in_words() {
    let client = client();
    for (path, expected) in [
        ("/foo", "1 time"),
        ("/foo", "2 times"),
        ("/", "1 time"),
        ("/foo", "3 times"),
        ("/bar", "1 time"),
    ] {
        let page = html(&client, path);
        assert!(page.contains(&format!("You viewed this page {expected}<")), "{path}: {page}");
        let number = expected.split(' ').next().unwrap();
        assert!(page.contains(&format!("<main id=\"main\" data-views=\"{number}\">")), "{page}");
    }
}

#[test]
fn page_as_json_shows_the_counts_of_all_pages() {
    let client = client();
    html(&client, "/");
    html(&client, "/foo");
    html(&client, "/foo");
    let response = json(&client, "/foo");
    assert_eq!(response.content_type(), Some(ContentType::JSON));
    assert_eq!(
        response.into_string().unwrap(),
        r#"{"page":"/foo","views":3,"pages":{"/":1,"/foo":3,"/bar":0}}"#
    );
}

#[test]
fn navigation_leads_to_every_page_and_marks_the_current_one() {
    let page = html(&client(), "/foo").replace("&#x2F;", "/");
    for path in ["/", "/foo", "/bar", "/session", "/about"] {
        assert!(page.contains(&format!("href=\"{path}\"")), "{path}");
    }
    let (nav, _) = page.split_once("</nav>").unwrap();
    assert_eq!(nav.matches("aria-current=\"page\"").count(), 1);
    assert!(page.contains("href=\"/foo\" aria-current=\"page\""));
}

#[test]
fn two_visitors_have_counts_of_their_own() {
    let (a, b) = (client(), client());
    html(&a, "/foo");
    html(&a, "/foo");
    assert!(html(&b, "/foo").contains("You viewed this page 1 time<"));
}

#[test]
fn unknown_page_is_a_styled_404_that_touches_no_session() {
    let client = client();
    for path in ["/baz", "/foo/bar", "/FOO", "/%66oo%00", "/..%2ffoo", "/favicon.ico"] {
        let response = client.get(path).dispatch();
        assert_eq!(response.status(), Status::NotFound, "{path}");
        assert!(response.headers().get_one("Set-Cookie").is_none());
        let page = response.into_string().unwrap();
        assert!(page.contains("/static/style.") && page.contains("There is no such page"));
    }
    let response = json(&client, "/baz");
    assert_eq!(response.content_type(), Some(ContentType::JSON));
    assert!(response.into_string().unwrap().contains(r#""status":{"code":404"#));
}

#[test]
fn head_and_prefetch_and_options_count_nothing_and_make_nothing() {
    let client = client();
    let ahead = |name: &'static str, value: &'static str| {
        client.get("/foo").header(Header::new(name, value)).dispatch()
    };
    for response in [
        client.head("/foo").dispatch(),
        ahead("Sec-Purpose", "prefetch;prerender"),
        ahead("Purpose", "prefetch"),
        client.req(Method::Options, "/foo").dispatch(),
    ] {
        assert!(response.headers().get_one("Set-Cookie").is_none());
    }
    assert!(html(&client, "/foo").contains("You viewed this page 1 time<"));
    client.head("/foo").dispatch();
    let refused = ahead("Sec-Purpose", "prefetch");
    assert_eq!(refused.status().code, 425, "the browser asks again when the page is viewed");
    assert!(
        refused.into_string().unwrap().contains("before you opened it, and nothing was counted")
    );
    assert!(html(&client, "/foo").contains("You viewed this page 2 times<"));
}

#[test]
fn every_response_has_every_security_header() {
    let client = client();
    for (method, path) in [
        (Method::Get, "/"),
        (Method::Get, "/about"),
        (Method::Get, "/session"),
        (Method::Get, "/nowhere"),
        (Method::Get, "/static/style.css"),
        (Method::Get, "/static/nowhere"),
        (Method::Get, "/health/live"),
        (Method::Head, "/"),
        (Method::Post, "/foo"),
        (Method::Post, "/session/destroy"),
    ] {
        let response = client.req(method, path).dispatch();
        let headers = response.headers();
        for name in [
            "Content-Security-Policy",
            "X-Content-Type-Options",
            "Referrer-Policy",
            "Cross-Origin-Opener-Policy",
            "Cross-Origin-Embedder-Policy",
            "Cross-Origin-Resource-Policy",
            "Permissions-Policy",
            "Cache-Control",
        ] {
            assert_eq!(headers.get(name).count(), 1, "{method} {path}: {name}");
        }
        assert!(headers.get_one("Strict-Transport-Security").is_none(), "it came by http");
        assert!(headers.get_one("Server").is_none(), "{path}");
        let csp = headers.get_one("Content-Security-Policy").unwrap();
        assert!(csp.starts_with("default-src 'none'") && !csp.contains("unsafe"), "{csp}");
    }
}

#[test]
fn browsers_are_told_to_stay_with_https_only_if_the_request_came_by_it() {
    let hsts = |client: &Client, proto: Option<&'static str>| {
        let mut request = client.get("/nowhere");
        if let Some(proto) = proto {
            request.add_header(Header::new("X-Forwarded-Proto", proto));
        }
        request.dispatch().headers().get_one("Strict-Transport-Security").map(str::to_owned)
    };
    let client = client();
    for proto in ["https", "HTTPS", "https, http", "https,https"] {
        assert_eq!(hsts(&client, Some(proto)).as_deref(), Some("max-age=63072000"), "{proto}");
    }
    for proto in [None, Some("http"), Some("http, https"), Some(""), Some("x"), Some("httpsx")] {
        assert_eq!(hsts(&client, proto), None, "{proto:?}");
    }
    let with = |value: &str| {
        let figment = config::figment().merge(("hsts", value));
        let client = Client::tracked(cloud_run_sessions::rocket().configure(figment));
        // The error panics if it is dropped unread.
        client.inspect_err(|error| drop(error.to_string())).ok()
    };
    let wide = "max-age=300; includeSubDomains; preload";
    assert_eq!(hsts(&with(wide).unwrap(), Some("https")).as_deref(), Some(wide));
    assert_eq!(hsts(&with("").unwrap(), Some("https")), None);
    for wrong in ["includeSubDomains", "max-age=", "max-age=1y", "max-age=1\r\nX: y"] {
        assert!(with(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn pages_are_never_cached() {
    let client = client();
    for path in ["/", "/session", "/nowhere"] {
        let response = client.get(path).dispatch();
        assert_eq!(response.headers().get_one("Cache-Control"), Some("no-store"), "{path}");
        assert!(response.headers().get_one("Vary").is_some_and(|it| it.contains("Cookie")));
    }
}

#[test]
fn health_is_well_and_starts_no_session() {
    let client = client();
    for path in ["/health/live", "/health/ready"] {
        let response = client.get(path).dispatch();
        assert_eq!(response.status(), Status::Ok);
        assert!(response.headers().get_one("Set-Cookie").is_none());
    }
}

#[test]
fn html_of_a_page_stays_small() {
    let client = client();
    for path in ["/", "/foo", "/session", "/about", "/nowhere"] {
        let size = client.get(path).dispatch().into_bytes().unwrap().len();
        assert!(size <= 8192, "{path} has {size} bytes");
    }
}

#[get("/fail/<code>")]
fn fail(code: u16) -> Status {
    Status::new(code)
}

#[test]
fn failures_that_no_page_has_are_explained_in_the_same_language() {
    let client = Client::tracked(cloud_run_sessions::rocket().mount("/", routes![fail])).unwrap();
    for (code, words) in [
        (400, "That request makes no sense here."),
        (409, "Your session has just changed."),
        (413, "That is too much."),
        (422, "That request makes no sense here."),
        (500, "Something broke."),
        (502, "Something broke."),
        (503, "The store does not answer."),
    ] {
        let response = client.get(format!("/fail/{code}")).dispatch();
        assert_eq!(response.status().code, code);
        assert_eq!(response.headers().get_one("Cache-Control"), Some("no-store"));
        let page = response.into_string().unwrap();
        assert!(page.contains(words) && page.contains("class=\"ticket void\""), "{page}");
    }
}

#[get("/session/fail/<code>")]
fn fail_at_session(code: u16) -> Status {
    Status::new(code)
}

#[test]
fn conflict_and_outage_offer_to_load_the_page_again() {
    let routes = routes![fail, fail_at_session];
    let client = Client::tracked(cloud_run_sessions::rocket().mount("/", routes)).unwrap();
    let page = |path: &str| {
        let page = client.get(path.to_owned()).dispatch().into_string().unwrap();
        page.replace("&#x2F;", "/")
    };
    for code in [409, 503] {
        let page = page(&format!("/session/fail/{code}"));
        assert!(page.contains("href=\"/session\">Load it again</a>"), "{page}");
    }
    for path in ["/session/fail/500", "/session/fail/404", "/fail/409"] {
        let page = page(path);
        assert!(page.contains("href=\"/\">Go to Home</a>"), "{path}: {page}");
    }
}

#[test]
fn failure_as_json_says_what_happened_and_what_to_do() {
    let client = Client::tracked(cloud_run_sessions::rocket().mount("/", routes![fail])).unwrap();
    let response = json(&client, "/fail/409");
    assert_eq!(response.status(), Status::Conflict);
    let body: serde_json::Value = response.into_json().unwrap();
    assert_eq!(body["status"], serde_json::json!({ "code": 409, "reason": "Conflict" }));
    assert_eq!(body["title"], "Your session has just changed.");
    assert!(body["todo"].as_str().unwrap().starts_with("Load the page again."), "{body}");
    let fields: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["status", "title", "todo", "what"]);
}
