//! actix-web with actix-session on Redis, as in <https://docs.rs/actix-session/0.11.0>.

use std::collections::HashMap;

use actix_session::config::PersistentSession;
use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::cookie::time::Duration;
use actix_web::http::header::{ACCEPT, LOCATION};
use actix_web::middleware::DefaultHeaders;
use actix_web::rt::time::sleep;
use actix_web::web::{Data, Query, get, post};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Result};
use page::{HEADERS, IDLE_TIMEOUT, Record, SLOW, Shown, Site, WORKERS, has_sessions, wants_json};

const RECORD: &str = "record";
const RIGHTS: &str = "rights";
const NOTE: &str = "note";

async fn view(request: HttpRequest, session: Session, site: Data<Site>) -> Result<HttpResponse> {
    let found: Option<Record> = session.get(RECORD)?;
    let is_returning = found.is_some();
    let mut record = found.unwrap_or_else(Record::begin);
    record.count(request.path(), site.instance());
    session.insert(RECORD, &record)?;
    Ok(answer(&request, &site, &record.shown(), is_returning))
}

async fn bare(request: HttpRequest, site: Data<Site>) -> HttpResponse {
    answer(&request, &site, &site.nobody(), true)
}

fn answer(
    request: &HttpRequest,
    site: &Site,
    shown: &Shown<'_>,
    is_returning: bool,
) -> HttpResponse {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    if wants_json(accept) {
        let json = site.json(request.path(), shown);
        return HttpResponse::Ok().content_type("application/json").body(json);
    }
    let html = site.html(request.path(), shown, is_returning);
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(html)
}

async fn regenerate(session: Session) -> HttpResponse {
    session.renew();
    see_session()
}

async fn end(session: Session) -> HttpResponse {
    session.purge();
    see_session()
}

async fn elevate(session: Session) -> Result<HttpResponse> {
    session.renew();
    session.insert(RIGHTS, "admin")?;
    Ok(see_session())
}

async fn log_in(session: Session, form: Query<HashMap<String, String>>) -> Result<HttpResponse> {
    session.renew();
    session.insert(RIGHTS, form.get("user"))?;
    Ok(see_session())
}

async fn rights(session: Session) -> Result<HttpResponse> {
    let json = page::rights(session.get(RIGHTS)?, session.get(NOTE)?);
    Ok(HttpResponse::Ok().content_type("application/json").body(json))
}

async fn slow_read(session: Session) -> Result<&'static str> {
    let _: Option<Record> = session.get(RECORD)?;
    sleep(SLOW).await;
    Ok("read")
}

async fn slow_write(session: Session) -> Result<&'static str> {
    let _: Option<Record> = session.get(RECORD)?;
    sleep(SLOW).await;
    session.insert(NOTE, "late")?;
    Ok("written")
}

fn see_session() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, "/session")).finish()
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL is set");
    let port: u16 = std::env::var("PORT").expect("PORT is set").parse().expect("PORT is a port");
    let site = Data::new(Site::load());
    if !has_sessions() {
        let app = move || {
            App::new()
                .wrap(headers())
                .app_data(site.clone())
                .route("/", get().to(bare))
                .route("/foo", get().to(bare))
                .route("/bar", get().to(bare))
        };
        return HttpServer::new(app).workers(WORKERS).bind(("127.0.0.1", port))?.run().await;
    }
    let store = RedisSessionStore::new(url).await.expect("Redis is there");
    // The same in every process, so that instances can share sessions.
    let key = Key::from(&[7; 64]);
    let idle = Duration::try_from(IDLE_TIMEOUT).expect("a day");
    let app = move || {
        let lifecycle = PersistentSession::default().session_ttl(idle);
        let sessions = SessionMiddleware::builder(store.clone(), key.clone())
            .session_lifecycle(lifecycle)
            .build();
        App::new()
            .wrap(sessions)
            .wrap(headers())
            .app_data(site.clone())
            .route("/", get().to(view))
            .route("/foo", get().to(view))
            .route("/bar", get().to(view))
            .route("/session/regenerate", post().to(regenerate))
            .route("/session/destroy", post().to(end))
            .route("/session/elevate", post().to(elevate))
            .route("/session/log-in", post().to(log_in))
            .route("/session/rights", get().to(rights))
            .route("/session/slow-read", get().to(slow_read))
            .route("/session/slow-write", get().to(slow_write))
    };
    HttpServer::new(app).workers(WORKERS).bind(("127.0.0.1", port))?.run().await
}

fn headers() -> DefaultHeaders {
    HEADERS.iter().fold(DefaultHeaders::new(), |all, header| all.add(*header))
}
