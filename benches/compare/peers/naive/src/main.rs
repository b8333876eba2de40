//! What one writes first: Rocket, a private cookie with a random id, and an r2d2 pool from which
//! each request checks out a connection on a blocking thread. The pool is as
//! <https://docs.rs/r2d2/0.8.10> has it, and the cookie as <https://rocket.rs/guide/v0.5/requests/>.

use std::collections::BTreeMap;

use page::{IDLE_TIMEOUT, Record, Site, wants_json};
use r2d2::Pool;
use redis::{Client, Commands, Connection, pipe};
use rocket::http::{Accept, ContentType, Cookie, CookieJar, Status};
use rocket::response::Redirect;
use rocket::time::Duration;
use rocket::tokio::task::spawn_blocking;
use rocket::{State, get, post, routes};
use uuid::Uuid;

const COOKIE: &str = "session";

type Outcome<T> = Result<T, Status>;

fn broken<E>(_: E) -> Status {
    Status::ServiceUnavailable
}

/// Runs blocking work with a connection of the pool.
async fn with_redis<T: Send + 'static>(
    pool: &Pool<Client>,
    work: impl FnOnce(&mut Connection) -> redis::RedisResult<T> + Send + 'static,
) -> Outcome<T> {
    let pool = pool.clone();
    spawn_blocking(move || {
        let mut connection = pool.get().map_err(broken)?;
        work(&mut connection).map_err(broken)
    })
    .await
    .map_err(broken)?
}

fn set_cookie(jar: &CookieJar<'_>, id: String) {
    let idle = Duration::try_from(IDLE_TIMEOUT).expect("a day");
    jar.add_private(Cookie::build((COOKIE, id)).max_age(idle));
}

fn key(id: &str) -> String {
    format!("session:{id}")
}

async fn view(
    path: &'static str,
    site: &Site,
    pool: &Pool<Client>,
    jar: &CookieJar<'_>,
    accept: Option<&Accept>,
) -> Outcome<(ContentType, String)> {
    let cookie = jar.get_private(COOKIE);
    let cookie_seen = cookie.is_some();
    let id = cookie.map_or_else(|| Uuid::new_v4().to_string(), |it| it.value().to_owned());
    let key = key(&id);
    set_cookie(jar, id);
    let instance = site.instance.clone();
    let hash: BTreeMap<String, String> = with_redis(pool, move |connection| {
        let mut pipe = pipe();
        if !cookie_seen {
            pipe.hset(&key, "began", Record::begin().began).ignore();
            pipe.hset(&key, "instances", instance).ignore();
        }
        pipe.hincr(&key, path, 1).ignore();
        pipe.expire(&key, IDLE_TIMEOUT.as_secs().cast_signed()).ignore();
        let (hash,) = pipe.hgetall(&key).query(connection)?;
        Ok(hash)
    })
    .await?;
    let mut record = Record::default();
    for (name, value) in hash {
        match name.as_str() {
            "began" => record.began = value.parse().unwrap_or_default(),
            "instances" => record.instances = vec![value],
            _ => drop(record.views.insert(name, value.parse().unwrap_or_default())),
        }
    }
    if wants_json(accept.map(ToString::to_string).as_deref()) {
        return Ok((ContentType::JSON, site.json(path, &record)));
    }
    Ok((ContentType::HTML, site.html(path, &record, cookie_seen)))
}

type Page = Outcome<(ContentType, String)>;

#[get("/")]
async fn home(
    site: &State<Site>,
    pool: &State<Pool<Client>>,
    jar: &CookieJar<'_>,
    accept: Option<&Accept>,
) -> Page {
    view("/", site, pool, jar, accept).await
}

#[get("/foo")]
async fn foo(
    site: &State<Site>,
    pool: &State<Pool<Client>>,
    jar: &CookieJar<'_>,
    accept: Option<&Accept>,
) -> Page {
    view("/foo", site, pool, jar, accept).await
}

#[get("/bar")]
async fn bar(
    site: &State<Site>,
    pool: &State<Pool<Client>>,
    jar: &CookieJar<'_>,
    accept: Option<&Accept>,
) -> Page {
    view("/bar", site, pool, jar, accept).await
}

#[post("/session/regenerate")]
async fn regenerate(pool: &State<Pool<Client>>, jar: &CookieJar<'_>) -> Outcome<Redirect> {
    if let Some(cookie) = jar.get_private(COOKIE) {
        let (from, id) = (key(cookie.value()), Uuid::new_v4().to_string());
        let to = key(&id);
        with_redis(pool, move |connection| connection.rename::<_, _, ()>(from, to)).await?;
        set_cookie(jar, id);
    }
    Ok(Redirect::to("/session"))
}

#[post("/session/destroy")]
async fn end(pool: &State<Pool<Client>>, jar: &CookieJar<'_>) -> Outcome<Redirect> {
    if let Some(cookie) = jar.get_private(COOKIE) {
        let key = key(cookie.value());
        with_redis(pool, move |connection| connection.del::<_, ()>(key)).await?;
        jar.remove_private(COOKIE);
    }
    Ok(Redirect::to("/session"))
}

#[rocket::launch]
fn rocket() -> _ {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL is set");
    let port: u16 = std::env::var("PORT").expect("PORT is set").parse().expect("PORT is a port");
    let pool = Pool::new(Client::open(url).expect("REDIS_URL is a URL")).expect("Redis is there");
    // The same key in every process, so that instances can share sessions.
    let config = rocket::Config {
        port,
        secret_key: rocket::config::SecretKey::from(&[7; 64]),
        log_level: rocket::config::LogLevel::Off,
        ..rocket::Config::release_default()
    };
    let routes = routes![home, foo, bar, regenerate, end];
    rocket::custom(config).manage(pool).manage(Site::load()).mount("/", routes)
}
