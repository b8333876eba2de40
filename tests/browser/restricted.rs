//! Browsers that allow less: no scripts, no cookies.

use serde_json::json;

use crate::driver::Browser;
use test_support::app::App;

const BLOCKED: u8 = 2;

#[test]
fn everything_works_without_scripts() {
    let app = App::start(&[]);
    let settings = json!({ "profile.managed_default_content_settings.javascript": BLOCKED });
    let browser = Browser::with_settings(&app, &settings);
    browser.open_url("data:text/html,<title>off</title><script>document.title = 'on'</script>");
    assert_eq!(browser.title(), "off", "scripts are blocked");

    browser.open("/");
    browser.click("Foo");
    browser.click("View it again");
    assert_eq!(browser.views(), 2);
    browser.click("Session");
    browser.sees("Views in all: 3");
    browser.click("New token");
    browser.sees("Your ticket has a new token");
    browser.click("Forget me…");
    browser.click("Forget me");
    browser.sees("You are forgotten.");
    browser.click("Begin at Home");
    assert_eq!(browser.views(), 1);
}

#[test]
fn blocked_cookies_are_named_as_the_reason_why_the_count_stays_at_one() {
    let app = App::start(&[]);
    let settings = json!({ "profile.default_content_setting_values.cookies": BLOCKED });
    let browser = Browser::with_settings(&app, &settings);
    for _ in 0..3 {
        browser.open("/foo");
        assert_eq!(browser.views(), 1);
        browser.sees("If the count stays at 1, the browser is not sending cookies back");
    }
    browser.click("View it again");
    browser.sees("If the count stays at 1, the browser keeps none: allow cookies for this site");
    browser.reload();
    browser.sees("If the count stays at 1, the browser keeps none: allow cookies for this site");
    browser.open("/session");
    browser.sees("You have no session yet.");
}
