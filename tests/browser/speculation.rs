//! Pages that the browser fetches before they are viewed.

use serde_json::json;

use crate::driver::Browser;
use test_support::app::App;
use test_support::wait_for;

/// Gives the current page speculation rules of this kind for `/foo`, and waits until the browser has
/// followed them.
fn speculate(app: &App, browser: &Browser, kind: &str) {
    browser.cdp("Page.setBypassCSP", &json!({ "enabled": true }));
    browser.reload();
    let before = app.log().matches("GET /foo").count();
    let rules = json!({ kind: [{ "source": "list", "urls": ["/foo"], "eagerness": "immediate" }] });
    browser.evaluate(&format!(
        "(() => {{
            const script = document.createElement('script');
            script.type = 'speculationrules';
            script.textContent = JSON.stringify({rules});
            document.head.append(script);
        }})()"
    ));
    wait_for("the browser to fetch the page ahead", || {
        app.log().matches("GET /foo").count() > before
    });
    wait_for("the refusal", || app.log().contains("425"));
}

#[test]
fn page_that_is_fetched_or_rendered_ahead_counts_once_when_it_is_viewed_and_shows_so() {
    for kind in ["prefetch", "prerender"] {
        // So that the log has every request.
        let app = App::start(&[("RUST_LOG", "info")]);
        let browser = Browser::at(&app);
        browser.open("/");
        speculate(&app, &browser, kind);
        browser.click("Foo");
        browser.is_on("Foo");
        assert_eq!(browser.views(), 1, "{kind}");
        browser.reload();
        assert_eq!(browser.views(), 2, "{kind}");
        browser.click("Session");
        browser.sees("Views in all: 4");
    }
}
