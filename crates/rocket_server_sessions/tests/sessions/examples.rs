//! The examples work as described.

use rocket::http::{ContentType, Header, Status};
use rocket::local::blocking::Client;
use rocket_server_sessions::testing::conformance;

use crate::world::Server;

#[allow(dead_code, reason = "an example has a main function")]
#[path = "../../examples/cart.rs"]
mod cart;
#[allow(dead_code, reason = "an example has a main function")]
#[path = "../../examples/counter.rs"]
mod counter;
#[allow(dead_code, reason = "an example has a main function")]
#[path = "../../examples/login.rs"]
mod login;
#[allow(dead_code, reason = "an example has a main function")]
#[path = "../../examples/own_store.rs"]
mod own_store;
#[allow(dead_code, reason = "an example has a main function")]
#[path = "../../examples/todo.rs"]
mod todo;
#[allow(dead_code, reason = "an example has a main function")]
#[path = "../../examples/websocket.rs"]
mod websocket;

fn client(rocket: rocket::Rocket<rocket::Build>) -> Client {
    let quiet = rocket::Config { log_level: rocket::config::LogLevel::Off, ..Default::default() };
    Client::tracked(rocket.configure(quiet)).unwrap()
}

fn get(client: &Client, path: &str) -> String {
    client.get(path.to_owned()).dispatch().into_string().unwrap()
}

fn post(client: &Client, path: &str, body: &str) {
    let request = client.post(path.to_owned()).header(ContentType::Form).body(body);
    let request = request.header(Header::new("User-Agent", "Firefox <Linux>"));
    assert_eq!(request.dispatch().status(), Status::SeeOther, "{path}");
}

#[test]
fn counter_counts_each_page() {
    let client = client(counter::rocket());
    for (page, expected) in [("/a", 1), ("/a", 2), ("/b", 1), ("/a", 3)] {
        assert_eq!(get(&client, page), format!("you viewed this page {expected} times\n"));
    }
}

#[test]
fn cart_keeps_typed_values_and_shows_a_message_once() {
    let client = client(cart::rocket());
    assert!(get(&client, "/").contains("{}, None"));
    assert!(client.cookies().get("session").is_none(), "looking begins no session");
    post(&client, "/add", "fruit=pear");
    post(&client, "/add", "fruit=apple");
    post(&client, "/add", "fruit=pear");
    post(&client, "/deliver", "floor=3&leave_at_door=on");
    let page = get(&client, "/");
    assert!(page.contains("<p>One more pear.</p>"), "{page}");
    assert!(page.contains("{\"apple\": 1, \"pear\": 2}"), "{page}");
    assert!(page.contains("Some(Delivery { floor: 3, leave_at_door: true })"), "{page}");
    assert!(!get(&client, "/").contains("One more"));
    let forged = client.post("/add").header(ContentType::Form).body("fruit=pear");
    let forged = forged.header(Header::new("Sec-Fetch-Site", "cross-site")).dispatch();
    assert_eq!(forged.status(), Status::Forbidden);
}

/// A separate browser: the client's cookies are not used.
struct Device<'c> {
    client: &'c Client,
    cookie: String,
}

impl<'c> Device<'c> {
    fn sign_in(client: &'c Client, browser: &'static str) -> Self {
        let request = client.post("/sign-in").header(ContentType::Form).body("name=alice+%3Cb%3E");
        let request = request.header(Header::new("User-Agent", browser));
        let response = request.header(Header::new("Cookie", "theme=dark")).dispatch();
        let cookie = response.headers().get_one("Set-Cookie").unwrap();
        Self { client, cookie: cookie.split(';').next().unwrap().to_owned() }
    }

    fn cookie(&self) -> Header<'static> {
        Header::new("Cookie", self.cookie.clone())
    }

    fn home(&self) -> String {
        self.client.get("/").header(self.cookie()).dispatch().into_string().unwrap()
    }

    fn post(&self, path: &str) {
        let response = self.client.post(path.to_owned()).header(self.cookie()).dispatch();
        assert_eq!(response.status(), Status::SeeOther, "{path}");
    }
}

#[test]
fn login_lists_the_devices_and_logs_them_out() {
    let client = client(login::rocket());
    assert!(get(&client, "/").contains("Sign in"));
    let phone = Device::sign_in(&client, "Phone <b>");
    assert!(phone.home().contains("Hello alice &lt;b&gt;"));
    let (desktop, tablet) =
        (Device::sign_in(&client, "Desktop"), Device::sign_in(&client, "Tablet"));
    let page = phone.home();
    assert_eq!(page.matches("<li>").count(), 3, "{page}");
    assert!(page.contains("<li>Phone &lt;b&gt; (here)"), "{page}");
    assert_eq!(page.matches("(here)").count(), 1, "{page}");

    let other = page.split("<li>").find(|it| it.starts_with("Tablet")).unwrap();
    let id = other.split("/log-out/").nth(1).unwrap().split('>').next().unwrap();
    phone.post(&format!("/log-out/{id}"));
    assert_eq!(phone.home().matches("<li>").count(), 2);
    desktop.post("/log-out-others");
    assert_eq!(desktop.home().matches("<li>").count(), 1);
    for ended in [&phone, &tablet] {
        assert!(ended.home().contains("Sign in"));
    }
    assert!(desktop.home().contains("Hello"));
}

#[test]
fn todo_adds_marks_and_clears() {
    let client = client(todo::rocket());
    post(&client, "/", "text=buy+%3Ctea%3E");
    post(&client, "/", "text=drink+tea");
    post(&client, "/done/0", "");
    let page = get(&client, "/");
    assert!(page.contains("[x] buy &lt;tea&gt;") && page.contains("[ ] drink tea"), "{page}");
    assert_eq!(client.post("/done/7").dispatch().status(), Status::NotFound);
    let forged = client.post("/clear").header(Header::new("Sec-Fetch-Site", "cross-site"));
    assert_eq!(forged.dispatch().status(), Status::Forbidden);
    post(&client, "/clear", "");
    assert!(!get(&client, "/").contains("tea"));
}

#[test]
fn own_store_counts() {
    let client = client(own_store::rocket());
    assert_eq!(get(&client, "/"), "1 views, kept in a map\n");
    assert_eq!(get(&client, "/"), "2 views, kept in a map\n");
}

#[rocket::async_test]
async fn own_store_keeps_the_contract() {
    conformance(&own_store::Map::default()).await;
}

#[rocket::async_test]
async fn websocket_counts_until_its_session_ends() {
    let quiet = rocket::Config {
        log_level: rocket::config::LogLevel::Off,
        port: 0,
        ..rocket::Config::debug_default()
    };
    let server = Server::launch(websocket::rocket().configure(quiet)).await;
    let page = server.request("GET /", "").await;
    let cookie = page.split("et-cookie: ").nth(1).unwrap().split(';').next().unwrap();
    let refused = server.socket("/clicks", cookie, "https://evil.example").await.err().unwrap();
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let own = format!("http://{}", server.address);
    let mut first = server.socket("/clicks", cookie, &own).await.unwrap();
    assert_eq!(first.ask("click").await.as_deref(), Some("1 clicks"));
    let mut second = server.socket("/clicks", cookie, &own).await.unwrap();
    assert_eq!(second.ask("click").await.as_deref(), Some("2 clicks"));
    assert_eq!(first.ask("click").await.as_deref(), Some("3 clicks"));
    assert!(server.request("POST /leave", cookie).await.starts_with("HTTP/1.0 200 "));
    assert_eq!((first.ask("click").await, second.ask("click").await), (None, None));
    drop((first, second));
    server.stop().await;
}
