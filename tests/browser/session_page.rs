//! The session's page: a new token, and being forgotten.

use crate::driver::Browser;
use test_support::app::App;

/// The public id and the token hash, on the ticket's stub.
fn stub(browser: &Browser) -> (String, String) {
    browser.sees("Token hash");
    let text = |number| browser.text(&format!(".stub div:nth-of-type({number}) code")).unwrap();
    (text(1), text(2))
}

#[test]
fn new_token_changes_the_token_hash_and_keeps_public_id_and_counts() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    browser.open("/foo");
    browser.click("Session");
    let (id, token_hash) = stub(&browser);
    browser.click("New token");
    browser.sees("Your ticket has a new token");
    let (same, changed) = stub(&browser);
    assert_eq!(same, id);
    assert_ne!(changed, token_hash);
    browser.open("/foo");
    assert_eq!(browser.views(), 2);
}

#[test]
fn back_after_a_new_token_takes_no_further_one() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    browser.open("/foo");
    browser.open("/session");
    browser.click("New token");
    browser.sees("Your ticket has a new token");
    let renewed = stub(&browser);
    browser.reload();
    assert_eq!(stub(&browser), renewed);
    browser.back();
    browser.open("/session");
    assert_eq!(stub(&browser), renewed);
}

#[test]
fn forget_me_asks_once_more_and_then_forgets() {
    let app = App::start(&[]);
    let browser = Browser::at(&app);
    browser.open("/foo");
    browser.reload();
    browser.open("/session");
    browser.click("Forget me…");
    browser.sees("2 views will be deleted, for good.");
    browser.click("Forget me");
    browser.sees("You are forgotten.");
    browser.sees("You have no session yet.");
    assert!(browser.cookies().is_empty());
    browser.open("/foo");
    assert_eq!(browser.views(), 1);
}
