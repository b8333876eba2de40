//! A Chromium for one test, driven by the few commands of `WebDriver` that the tests need.
//!
//! The protocol is JSON over HTTP, so this needs no library: <https://www.w3.org/TR/webdriver2/>.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use test_support::app::App;
use test_support::{free_port, wait_for};

/// `WebDriver`'s names for keys: private code points.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

/// The field in which `WebDriver` names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with an empty profile. It ends when this value is dropped, and at the latest with the
/// process that holds it.
pub struct Browser {
    port: u16,
    site: String,
    session: String,
    shell: Child,
}

impl Browser {
    /// Starts a browser for `http://localhost`, where people try the application.
    pub fn at(app: &App) -> Self {
        Self::with_settings(app, &json!({}))
    }

    /// The same, with preferences that a person could have set in the browser.
    pub fn with_settings(app: &App, settings: &Value) -> Self {
        for (program, package) in [("chromium", "chromium"), ("chromedriver", "chromium-driver")] {
            assert!(
                Command::new(program).arg("--version").output().is_ok(),
                "the tests need {program}: run `apt-get install {package}`, or `tests/run`, which \
                 does it"
            );
        }
        let port = free_port();
        // The shell reads its input, which ends with this process. Then it ends everything that the
        // driver has started, which is in one process session, and removes the profiles.
        let script = format!(
            "folder=$(mktemp -d)
             TMPDIR=$folder setsid chromedriver --port={port} >/dev/null 2>&1 &
             cat >/dev/null
             pkill -KILL --session $!
             rm -rf $folder"
        );
        let shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        let site = format!("http://localhost:{}", app.port);
        let mut browser = Self { port, site, session: String::new(), shell };
        wait_for("chromedriver to listen", || TcpStream::connect(("127.0.0.1", port)).is_ok());

        let arguments = [
            "--headless",
            // In a container, the user may be root, for whom Chromium has no sandbox.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ];
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments, "prefs": settings },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let session = browser
            .request(
                "POST",
                "/session",
                &json!({ "capabilities": { "alwaysMatch": capabilities } }),
            )
            .expect("Chromium starts");
        session["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        browser
    }

    /// Continues at another instance, with the same cookies: they do not depend on the port.
    pub fn turn_to(&mut self, app: &App) {
        self.site = format!("http://localhost:{}", app.port);
    }

    /// Opens a path of the site.
    pub fn open(&self, path: &str) {
        self.open_url(&format!("{}{path}", self.site));
    }

    pub fn open_url(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url })).unwrap();
    }

    pub fn reload(&self) {
        self.command("POST", "/refresh", &json!({})).unwrap();
    }

    pub fn back(&self) {
        self.command("POST", "/back", &json!({})).unwrap();
    }

    /// The path of the address bar.
    pub fn path(&self) -> String {
        let url = self.command("GET", "/url", &Value::Null).unwrap();
        url.as_str().unwrap().replacen(&self.site, "", 1)
    }

    pub fn title(&self) -> String {
        self.command("GET", "/title", &Value::Null).unwrap().as_str().unwrap().to_owned()
    }

    /// Waits until the page with this title is loaded.
    pub fn is_on(&self, page: &str) {
        wait_for(page, || self.title() == format!("{page} · cloud-run-sessions"));
    }

    /// Clicks on the first link, button or summary with this text.
    pub fn click(&self, text: &str) {
        let xpath = format!("//*[self::a or self::button or self::summary][.='{text}']");
        let element = self.element("xpath", &xpath).expect(text);
        self.command("POST", &format!("/element/{element}/click"), &json!({})).expect(text);
    }

    /// The text that a person sees in the first element that matches.
    pub fn text(&self, selector: &str) -> Option<String> {
        let element = self.element("css selector", selector).ok()?;
        let text = self.command("GET", &format!("/element/{element}/text"), &Value::Null).ok()?;
        Some(text.as_str()?.to_owned())
    }

    /// Waits until the page's text contains this.
    pub fn sees(&self, expected: &str) {
        let start = Instant::now();
        loop {
            let seen = self.text("main").unwrap_or_default();
            if seen.contains(expected) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "no “{expected}” in:\n{seen}");
        }
    }

    /// The count that the page shows in figures and in words.
    pub fn views(&self) -> u64 {
        self.sees("You viewed this page");
        let count: u64 = self.text(".count").unwrap().parse().unwrap();
        let times = if count == 1 { "1 time".to_owned() } else { format!("{count} times") };
        assert_eq!(self.text(".sentence").unwrap(), format!("You viewed this page {times}"));
        count
    }

    /// Presses a key in the element that has the focus.
    pub fn press(&self, key: &str) {
        let actions =
            [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.command("POST", "/actions", &json!({ "actions": [keyboard] })).unwrap();
    }

    /// The text of the element with the focus, which must be visible.
    pub fn focused(&self) -> String {
        let element = self.command("GET", "/element/active", &Value::Null).unwrap();
        let element = element[ELEMENT].as_str().unwrap();
        let of = |what: &str| {
            let value = self.command("GET", &format!("/element/{element}/{what}"), &Value::Null);
            value.unwrap().as_str().unwrap_or_default().to_owned()
        };
        let text = of("property/textContent").trim().to_owned();
        assert_eq!(of("css/outline-style"), "solid", "the focus does not show on “{text}”");
        text
    }

    /// All cookies of the site.
    pub fn cookies(&self) -> Vec<Value> {
        self.command("GET", "/cookie", &Value::Null).unwrap().as_array().unwrap().clone()
    }

    /// Runs a script in the page, regardless of its content security policy.
    pub fn evaluate(&self, expression: &str) -> Value {
        let script = json!({ "script": format!("return {expression}"), "args": [] });
        self.command("POST", "/execute/sync", &script).unwrap()
    }

    /// Sends a command of the Chrome `DevTools` Protocol.
    pub fn cdp(&self, command: &str, parameters: &Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.command("POST", "/goog/cdp/execute", &body).unwrap();
    }

    /// What the browser has written to its console since the last call.
    pub fn complaints(&self) -> Vec<Value> {
        let log = self.command("POST", "/se/log", &json!({ "type": "browser" })).unwrap();
        log.as_array().unwrap().clone()
    }

    fn element(&self, using: &str, selector: &str) -> Result<String, Value> {
        let found =
            self.command("POST", "/element", &json!({ "using": using, "value": selector }))?;
        Ok(found[ELEMENT].as_str().unwrap().to_owned())
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        self.request(method, &format!("/session/{}{path}", self.session), body)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let port = self.port;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();

        let mut stream = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut reply = vec![0; length];
        stream.read_exact(&mut reply).unwrap();
        let reply: Value = serde_json::from_slice(&reply).unwrap();
        let value = reply["value"].clone();
        if value["error"].is_string() { Err(value) } else { Ok(value) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without a WebDriver session, no browser has been started.
        if !self.session.is_empty() {
            let _ = self.command("DELETE", "", &Value::Null);
        }
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
