//! Each view counts once, for its page and its browser, no matter which instance answers.

use std::collections::BTreeMap;

use crate::driver::Browser;
use test_support::RedisServer;
use test_support::app::App;

#[test]
fn first_visit_says_what_this_is_and_counts_one() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    browser.open("/");
    browser.sees("From now on you are remembered, though no server remembers you.");
    browser.sees("This is your first view");
    assert_eq!(browser.views(), 1);
    browser.reload();
    browser.sees("You are remembered, though no server remembers you.");
    assert!(!browser.text("main").unwrap().contains("This is your first view"));
}

#[test]
fn each_of_three_pages_counts_for_itself_and_shows_all() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    browser.open("/");
    browser.click("Foo");
    browser.is_on("Foo");
    browser.click("View it again");
    browser.click("Bar");
    browser.is_on("Bar");
    assert_eq!((browser.path().as_str(), browser.views()), ("/bar", 1));
    let table = browser.text("table").unwrap();
    for row in ["Home 1", "Foo 2", "Bar 1", "All pages 4"] {
        assert!(table.replace('\n', " ").contains(row), "{row} in {table}");
    }
}

#[test]
fn reload_counts_one_more_each_time() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    browser.open("/foo");
    for expected in 2..=5 {
        browser.reload();
        assert_eq!(browser.views(), expected);
    }
}

#[test]
fn second_browser_has_counts_of_its_own() {
    let app = App::start(&[]);
    let (one, other) = (Browser::at(&app), Browser::at(&app));
    one.open("/foo");
    one.reload();
    other.open("/foo");
    assert_eq!((one.views(), other.views()), (2, 1));
    one.reload();
    assert_eq!(one.views(), 3);
}

#[test]
fn back_button_shows_the_page_before_and_loses_no_count() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    browser.open("/");
    browser.click("Foo");
    browser.is_on("Foo");
    browser.back();
    browser.is_on("Home");
    let seen = browser.views();
    assert!((1..=2).contains(&seen), "{seen}: from the browser's memory, or asked for again");
    browser.reload();
    assert_eq!(browser.views(), seen + 1);
}

#[test]
fn count_goes_on_at_another_instance_and_the_page_names_both() {
    let redis = RedisServer::start();
    let (one, other) = (App::on_redis(&redis.url()), App::on_redis(&redis.url()));
    let mut browser = Browser::at(&one);
    browser.open("/foo");
    browser.turn_to(&other);
    browser.open("/foo");
    browser.reload();
    assert_eq!(browser.views(), 3);
    browser.sees("2 instances have answered you");
    let thread = browser.text(".thread").unwrap();
    assert_eq!(thread.matches("answered before").count(), 1, "{thread}");
    assert_eq!(thread.matches("answered just now").count(), 1, "{thread}");
}

#[test]
fn plain_http_at_localhost_keeps_the_cookie_of_a_release_in_chromium() {
    let app = App::start(&[("ROCKET_PROFILE", "release")]);
    let browser = Browser::at(&app);
    browser.open("/");
    let cookies = browser.cookies();
    let [cookie] = cookies.as_slice() else { panic!("{cookies:?}") };
    assert_eq!(cookie["name"], "__Host-session");
    assert_eq!((&cookie["domain"], &cookie["path"]), (&"localhost".into(), &"/".into()));
    assert_eq!((&cookie["secure"], &cookie["httpOnly"]), (&true.into(), &true.into()));
    assert_eq!(cookie["sameSite"], "Lax");
    assert!(cookie["expiry"].is_u64(), "it outlives the browser");
}

#[test]
fn page_takes_two_requests_and_one_when_it_is_viewed_again() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    // How many bytes were transferred for each kind of request: none if the browser had the file.
    let transfers = || -> BTreeMap<String, u64> {
        let entries = browser.evaluate(
            "performance.getEntriesByType('navigation')
                .concat(performance.getEntriesByType('resource'))
                .filter(entry => entry.initiatorType != 'other')
                .map(entry => [entry.initiatorType, entry.transferSize])",
        );
        let pairs: Vec<(String, u64)> = serde_json::from_value(entries).unwrap();
        assert_eq!(pairs.len(), 2, "{pairs:?}");
        pairs.into_iter().collect()
    };
    browser.open("/");
    let first = transfers();
    assert!((1..8_192).contains(&first["navigation"]), "{first:?}");
    assert!((1..10_240).contains(&first["link"]), "{first:?}");
    browser.open("/foo");
    let second = transfers();
    assert!((1..8_192).contains(&second["navigation"]), "{second:?}");
    assert_eq!(second["link"], 0);
}

#[test]
fn browser_finds_nothing_to_complain_about() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    for path in ["/", "/foo", "/bar", "/session", "/about"] {
        browser.open(path);
        let complaints = browser.complaints();
        assert!(complaints.is_empty(), "{path}: {complaints:?}");
    }
}
