//! axum with tower-sessions on Redis, as in <https://docs.rs/tower-sessions/0.14.0> and the example in
//! <https://docs.rs/tower-sessions-redis-store/0.16.0>.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use page::{HEADERS, IDLE_TIMEOUT, Record, SLOW, Shown, Site, WORKERS, has_sessions, wants_json};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::sleep;
use tower_sessions::cookie::time::Duration;
use tower_sessions::session::Error;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

const RECORD: &str = "record";
const RIGHTS: &str = "rights";
const NOTE: &str = "note";

/// Errors of the store become a 500 without a body, as in tower-sessions' own middleware.
struct Failure;

impl From<Error> for Failure {
    fn from(_: Error) -> Self {
        Self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

async fn view(
    State(site): State<Arc<Site>>,
    session: Session,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Failure> {
    let found: Option<Record> = session.get(RECORD).await?;
    let is_returning = found.is_some();
    let mut record = found.unwrap_or_else(Record::begin);
    record.count(uri.path(), site.instance());
    session.insert(RECORD, &record).await?;
    Ok(answer(&site, &headers, &uri, &record.shown(), is_returning))
}

async fn bare(State(site): State<Arc<Site>>, headers: HeaderMap, uri: Uri) -> Response {
    answer(&site, &headers, &uri, &site.nobody(), true)
}

fn answer(
    site: &Site,
    headers: &HeaderMap,
    uri: &Uri,
    shown: &Shown<'_>,
    is_returning: bool,
) -> Response {
    if wants_json(headers.get(ACCEPT).and_then(|value| value.to_str().ok())) {
        let json = site.json(uri.path(), shown);
        return ([(CONTENT_TYPE, "application/json")], json).into_response();
    }
    Html(site.html(uri.path(), shown, is_returning)).into_response()
}

async fn regenerate(session: Session) -> Result<Redirect, Failure> {
    session.cycle_id().await?;
    Ok(Redirect::to("/session"))
}

async fn end(session: Session) -> Result<Redirect, Failure> {
    session.flush().await?;
    Ok(Redirect::to("/session"))
}

async fn elevate(session: Session) -> Result<Redirect, Failure> {
    session.cycle_id().await?;
    session.insert(RIGHTS, "admin").await?;
    Ok(Redirect::to("/session/rights"))
}

async fn log_in(
    session: Session,
    Query(form): Query<HashMap<String, String>>,
) -> Result<Redirect, Failure> {
    session.cycle_id().await?;
    session.insert(RIGHTS, form.get("user")).await?;
    Ok(Redirect::to("/session/rights"))
}

async fn rights(session: Session) -> Result<Response, Failure> {
    let (rights, note) = (session.get(RIGHTS).await?, session.get(NOTE).await?);
    Ok(([(CONTENT_TYPE, "application/json")], page::rights(rights, note)).into_response())
}

async fn slow_read(session: Session) -> Result<Response, Failure> {
    let _: Option<Record> = session.get(RECORD).await?;
    sleep(SLOW).await;
    Ok("read".into_response())
}

async fn slow_write(session: Session) -> Result<Response, Failure> {
    let _: Option<Record> = session.get(RECORD).await?;
    sleep(SLOW).await;
    session.insert(NOTE, "late").await?;
    Ok("written".into_response())
}

/// Adds the headers of every response.
async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.reserve(HEADERS.len());
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

async fn with_sessions(url: &str) -> Router<Arc<Site>> {
    let config = Config::from_url(url).expect("REDIS_URL is a URL");
    // Six connections, as in the example of the store.
    let pool = Pool::new(config, None, None, None, 6).expect("a pool");
    pool.connect();
    pool.wait_for_connect().await.expect("Redis is there");
    let idle = Duration::try_from(IDLE_TIMEOUT).expect("a day");
    let sessions =
        SessionManagerLayer::new(RedisStore::new(pool)).with_expiry(Expiry::OnInactivity(idle));
    Router::new()
        .route("/", get(view))
        .route("/foo", get(view))
        .route("/bar", get(view))
        .route("/session/regenerate", post(regenerate))
        .route("/session/destroy", post(end))
        .route("/session/elevate", post(elevate))
        .route("/session/log-in", post(log_in))
        .route("/session/rights", get(rights))
        .route("/session/slow-read", get(slow_read))
        .route("/session/slow-write", get(slow_write))
        .layer(sessions)
}

fn main() {
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    runtime.expect("a runtime").block_on(launch());
}

async fn launch() {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL is set");
    let port: u16 = std::env::var("PORT").expect("PORT is set").parse().expect("PORT is a port");
    let app = if has_sessions() {
        with_sessions(&url).await
    } else {
        Router::new().route("/", get(bare)).route("/foo", get(bare)).route("/bar", get(bare))
    };
    let app = app.layer(map_response(with_headers)).with_state(Arc::new(Site::load()));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    serve(listener, app).await.expect("it serves");
}
