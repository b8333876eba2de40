//! Cookies as clients send them, over real sockets: unusual headers, and what the page says about lost
//! cookies.

use std::time::Duration;

use test_support::app::{App, Reply, send, send_bytes};
use test_support::wait_for;

/// Views `/foo` as JSON, with these header lines.
fn view(app: &App, headers: impl AsRef<[u8]>) -> Reply {
    let head: &[u8] = b"GET /foo HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n";
    send_bytes(app.port, &[head, headers.as_ref()].concat())
}

/// The cookie of a new session with one view, as `name=value`.
fn new_cookie(app: &App) -> String {
    let mut visitor = app.visitor();
    assert_eq!(visitor.get("/foo").views(), 1);
    visitor.cookie.unwrap()
}

#[test]
fn cookie_counts_however_a_client_writes_the_header() {
    let app = App::start(&[]);
    let cookie = new_cookie(&app);
    let (name, value) = cookie.split_once('=').unwrap();
    let long = "x=y; ".repeat(2000);
    let split = format!("Cookie: a=b\r\nCookie: {cookie}\r\nCookie: c=d\r\n");
    for (expected, headers) in (2..).zip([
        format!("Cookie: {name}=\"{value}\"\r\n"),
        format!("Cookie: $Version=1; {name}=\"{value}\"; $Path=\"/\"\r\n"),
        format!("Cookie: $Version=\"1\"; {cookie};$Path=\"/\";$Domain=\"localhost\"\r\n"),
        split,
        format!("Cookie: {cookie};\r\n"),
        format!("Cookie:{cookie}\r\n"),
        format!("Cookie:   a=b;{cookie};c=d  \r\n"),
        format!("Cookie: a=b;\t{cookie}\t; c\r\n"),
        format!("Cookie: ; ;{cookie};;\r\n"),
        format!("COOKIE: {cookie}\r\n"),
        format!("Cookie: {cookie}; {cookie}\r\n"),
        format!("Cookie: {name}=; {cookie}\r\n"),
        format!("Cookie: {name}; {cookie}\r\n"),
        format!("Cookie: {long}{cookie}\r\n"),
        format!("Cookie2: $Version=1\r\nCookie: {cookie}\r\n"),
        format!("Cookie: name=M\u{fc}ller; {cookie}\r\n"),
    ]) {
        let reply = view(&app, &headers);
        assert_eq!(reply.views(), expected, "{headers}");
        assert_eq!(reply.header("set-cookie"), None, "{headers}");
    }
}

#[test]
fn cookie_counts_over_http_1_0() {
    let app = App::start(&[]);
    let cookie = new_cookie(&app);
    let head = format!("GET /foo HTTP/1.0\r\nAccept: application/json\r\nCookie: {cookie}\r\n");
    assert_eq!(send(app.port, &head).views(), 2);
}

#[test]
fn cookie_of_another_name_or_with_another_value_counts_as_none() {
    let app = App::start(&[]);
    let cookie = new_cookie(&app);
    let (name, value) = cookie.split_once('=').unwrap();
    let upper = name.to_ascii_uppercase();
    for header in [
        format!("Cookie: {upper}={value}"),
        format!("Cookie: {name} ={value}"),
        format!("Cookie: {name}= {value}"),
        format!("Cookie: {name}={value}, a=b"),
        format!("Cookie: a=b, {cookie}"),
        format!("Cookie: {name}=%22{value}%22"),
        format!("Cookie: {name}='{value}'"),
        format!("Cookie: {name}={value}=="),
        format!("Cookie: {name}={}", &value[..120]),
        format!("Cookie: {name}={}", value.to_ascii_lowercase()),
        format!("Cookie2: {cookie}"),
        format!("Set-Cookie: {cookie}"),
        format!("X-Cookie: {cookie}"),
    ] {
        let reply = view(&app, format!("{header}\r\n"));
        assert_eq!(reply.views(), 1, "{header}");
        assert!(reply.header("set-cookie").is_some(), "{header}");
    }
    assert_eq!(view(&app, format!("Cookie: {cookie}\r\n")).views(), 2, "the session is untouched");
}

/// As an application in Latin 1 on the same host sets it.
const UNREADABLE: &[u8] = b"; name=M\xfcller\r\n";

#[test]
fn one_byte_that_is_not_utf8_hides_the_cookie_and_the_session_is_there_again_without_it() {
    let app = App::start(&[]);
    let cookie = new_cookie(&app);
    let hidden = [format!("Cookie: {cookie}").as_bytes(), UNREADABLE].concat();
    for _ in 0..3 {
        let reply = view(&app, &hidden);
        assert_eq!(reply.views(), 1, "Rocket drops the header");
        assert_eq!(reply.header("set-cookie"), None, "the good cookie stays");
    }
    assert_eq!(view(&app, format!("Cookie: {cookie}\r\n")).views(), 2);
    // A client that sends each cookie in a header of its own only loses the unreadable one.
    let split = format!("Cookie: {cookie}\r\nCookie: a=b");
    assert_eq!(view(&app, [split.as_bytes(), UNREADABLE].concat()).views(), 3);
}

#[test]
fn unreadable_cookies_are_logged_once_a_minute_and_other_headers_each_time() {
    let app = App::start(&[]);
    for _ in 0..5 {
        view(&app, [b"Cookie: a=b", UNREADABLE].concat());
    }
    view(&app, b"X-Name: M\xfcller\r\n");
    let other = "WARN Header 'x-name' contains invalid UTF-8";
    wait_for("the log", || app.log().contains(other));
    let log = app.log();
    let lines: Vec<_> = log.lines().filter(|it| it.contains("UTF-8")).collect();
    let sum = "WARN session cookies do not return as they were set: 1 requests whose cookies are not \
               UTF-8";
    assert!(matches!(lines[..], [a, b] if a.starts_with(sum) && b == other), "{log}");
}

#[test]
fn unreadable_cookies_are_noticed_even_if_warnings_are_not_logged() {
    let app = App::start(&[("RUST_LOG", "error")]);
    let reply = view(&app, [b"Cookie: a=b", UNREADABLE].concat());
    assert_eq!(reply.header("set-cookie"), None);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(app.log(), "");
}

/// What the page `/foo` tells a visitor with these headers about the cookie.
fn notice(app: &App, headers: impl AsRef<[u8]>) -> String {
    let reply = send_bytes(app.port, &[b"GET /foo HTTP/1.1\r\n", headers.as_ref()].concat());
    assert_eq!(reply.status, 200);
    let (_, after) = reply.body.split_once("<p class=\"notice\">").unwrap_or_default();
    after.split('<').next().unwrap_or_default().to_owned()
}

#[test]
fn page_says_why_the_count_stays_at_one_as_far_as_the_request_shows_it() {
    let app = App::start(&[]);
    let cookie = new_cookie(&app);
    let other = App::start(&[]);
    let (strange, second) = (new_cookie(&other), new_cookie(&app));
    let at_page = "Host: localhost\r\nReferer: http://localhost/foo?x=/\r\n";
    for (headers, expected) in [
        ("Host: localhost\r\n", "This is your first view, or your browser keeps no cookies."),
        ("Host: localhost\r\nCookie: theme=dark\r\n", "This is your first view"),
        ("Host: localhost\r\nReferer: http://localhost/about\r\n", "This is your first view"),
        ("Host: localhost\r\nReferer: http://elsewhere/foo\r\n", "This is your first view"),
        (at_page, "If the count stays at 1, the browser keeps none"),
        (&format!("{at_page}Cookie: theme=dark\r\n"), "has sent other cookies for this address"),
        (&format!("Host: localhost\r\nCookie: {}\r\n", &cookie[..99]), "cut off"),
        (&format!("Host: localhost\r\nCookie: {cookie}=\r\n"), "unexpected characters"),
        (
            "Host: localhost\r\nCookie: session=eyJhIjoxfQ.aSh.x\r\n",
            "another application on this host has a cookie of the same name",
        ),
        (
            &format!("Host: localhost\r\nCookie: {strange}\r\n"),
            "a key that this site does not have",
        ),
        (&format!("Host: localhost\r\nCookie: {cookie}; {second}\r\n"), "sends two cookies"),
        (&format!("Host: localhost\r\nCookie: {cookie}\r\n"), ""),
    ] {
        let seen = notice(&app, headers);
        let is_right = if expected.is_empty() { seen.is_empty() } else { seen.contains(expected) };
        assert!(is_right, "{headers}: {seen}");
    }
    let unreadable = [b"Host: localhost\r\nCookie: a=b", UNREADABLE].concat();
    assert!(notice(&app, unreadable).contains("is not readable text"));
}

/// For example, the server was not up yet, or the page before was a 503, or the cookie was deleted.
#[test]
fn page_that_is_loaded_again_without_a_cookie_blames_nobody() {
    let app = App::start(&[]);
    for header in ["Cache-Control: max-age=0", "Referer: http://localhost/foo"] {
        for cookie in ["", "Cookie: theme=dark\r\n"] {
            let head = format!("GET /foo HTTP/1.1\r\nHost: localhost\r\n{header}\r\n{cookie}");
            let page = send(app.port, &head).body;
            assert!(page.contains("From now on you are remembered"), "{page}");
            assert!(page.contains("If the count stays at 1"), "{page}");
            assert!(!page.contains("The count stays") && !page.contains("Safari"), "{page}");
        }
    }
    let release = App::start(&[("ROCKET_PROFILE", "release")]);
    let at_page = "Host: localhost\r\nReferer: http://localhost/foo\r\n";
    assert!(notice(&release, at_page).contains("such as Safari, keep this cookie over https only"));
}

#[test]
fn page_of_a_release_over_plain_http_says_that_its_cookie_needs_https() {
    let app = App::start(&[("ROCKET_PROFILE", "release")]);
    for (headers, is_plain) in [
        ("Host: 192.168.1.7:8080\r\n", true),
        ("Host: shop.example\r\nX-Forwarded-Proto: http\r\n", true),
        ("Host: shop.example\r\nX-Forwarded-Proto: https\r\n", false),
        ("Host: shop.example\r\nSec-Fetch-Site: none\r\n", false),
        ("Host: shop.example\r\nReferer: https://shop.example/foo\r\n", false),
        ("Host: localhost:8080\r\n", false),
    ] {
        let seen = notice(&app, headers);
        assert_eq!(seen.contains("browsers keep its cookie over https only"), is_plain, "{seen}");
    }
    let development = App::start(&[]);
    assert!(notice(&development, "Host: 192.168.1.7:8080\r\n").starts_with("This is your first"));
}
