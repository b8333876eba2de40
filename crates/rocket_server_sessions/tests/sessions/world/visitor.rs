//! A browser with a session's cookie, and the responses that it gets.

use rocket::http::{Header, Status};
use rocket::tokio::join;

use super::{NAME, World};

/// A browser, as far as cookies go.
#[derive(Clone)]
pub struct Visitor<'w> {
    pub world: &'w World,
    pub cookie: Option<String>,
}

/// A response.
#[derive(Debug)]
pub struct Page {
    pub status: Status,
    pub body: String,
    pub set_cookies: Vec<String>,
    pub retry_after: Option<String>,
    pub cache_control: Option<String>,
}

impl Visitor<'_> {
    /// Requests a page, and keeps the session's cookie as a browser would.
    pub async fn get(&mut self, path: &str) -> Page {
        let header = self.cookie.as_ref().map(|value| format!("{NAME}={value}"));
        let page = self.world.get(path, header.as_deref()).await;
        for cookie in page.set_cookies.iter().filter(|it| it.starts_with(NAME)) {
            let (pair, attributes) = cookie.split_once("; ").unwrap();
            let value = pair.split_once('=').unwrap().1.to_owned();
            self.cookie = (!attributes.contains("Max-Age=0;")).then_some(value);
        }
        page
    }

    /// Requests a page whose handler waits at the gate, and runs `meanwhile` during the wait.
    pub async fn get_held(&mut self, path: &str, meanwhile: impl AsyncFnOnce()) -> Page {
        let gate = &self.world.gate;
        let work = async {
            gate.reached().await;
            meanwhile().await;
            gate.open();
        };
        let (page, ()) = join!(self.get(path), work);
        page
    }

    /// The body of a page that must be served.
    pub async fn body(&mut self, path: &str) -> String {
        let page = self.get(path).await;
        assert_eq!(page.status, Status::Ok, "{path}: {}", page.body);
        page.body
    }
}

impl World {
    pub async fn get(&self, path: &str, cookies: Option<&str>) -> Page {
        let mut request = self.client.get(path.to_owned());
        if let Some(cookies) = cookies {
            request.add_header(Header::new("Cookie", cookies.to_owned()));
        }
        let response = request.dispatch().await;
        let status = response.status();
        let header = |name: &str| response.headers().get_one(name).map(str::to_owned);
        let (retry_after, cache_control) = (header("Retry-After"), header("Cache-Control"));
        let set_cookies = response.headers().get("Set-Cookie").map(str::to_owned).collect();
        let body = response.into_string().await.unwrap_or_default();
        Page { status, body, set_cookies, retry_after, cache_control }
    }
}
