//! The site without a mouse.

use crate::driver::{Browser, ENTER, TAB};
use test_support::app::App;

/// Presses Tab until the element with this text has the focus.
fn tab_to(browser: &Browser, text: &str) {
    let mut passed = Vec::new();
    while passed.len() < 30 {
        browser.press(TAB);
        let focused = browser.focused();
        if focused == text {
            return;
        }
        passed.push(focused);
    }
    panic!("the focus never came to “{text}”, only to {passed:?}");
}

#[test]
fn keyboard_alone_leads_to_every_page_and_every_action() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    browser.open("/");
    tab_to(&browser, "Foo");
    browser.press(ENTER);
    browser.is_on("Foo");
    tab_to(&browser, "View it again");
    browser.press(ENTER);
    browser.sees("You viewed this page 2 times");
    tab_to(&browser, "Session");
    browser.press(ENTER);
    browser.sees("Views in all: 3");
    tab_to(&browser, "New token");
    browser.press(ENTER);
    browser.sees("Your ticket has a new token");
    tab_to(&browser, "Forget me…");
    browser.press(ENTER);
    tab_to(&browser, "Forget me");
    browser.press(ENTER);
    browser.sees("You are forgotten.");
}

#[test]
fn first_key_offers_to_skip_the_navigation() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    browser.open("/");
    browser.press(TAB);
    assert_eq!(browser.focused(), "Skip to the content");
    browser.press(ENTER);
    browser.press(TAB);
    assert_eq!(browser.focused(), "View it again");
}
