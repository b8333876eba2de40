//! actix-web with actix-session on Redis, as <https://docs.rs/actix-session/0.11.0> has it.

use actix_session::config::PersistentSession;
use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::cookie::time::Duration;
use actix_web::http::header::{ACCEPT, LOCATION};
use actix_web::web::{Data, get, post};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Result};
use page::{IDLE_TIMEOUT, Record, Site, wants_json};

const RECORD: &str = "record";

async fn view(request: HttpRequest, session: Session, site: Data<Site>) -> Result<HttpResponse> {
    let found: Option<Record> = session.get(RECORD)?;
    let cookie_seen = found.is_some();
    let mut record = found.unwrap_or_else(Record::begin);
    record.count(request.path(), &site.instance);
    session.insert(RECORD, &record)?;
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    if wants_json(accept) {
        let json = site.json(request.path(), &record);
        return Ok(HttpResponse::Ok().content_type("application/json").body(json));
    }
    let html = site.html(request.path(), &record, cookie_seen);
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(html))
}

async fn regenerate(session: Session) -> HttpResponse {
    session.renew();
    see_session()
}

async fn end(session: Session) -> HttpResponse {
    session.purge();
    see_session()
}

fn see_session() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, "/session")).finish()
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL is set");
    let port: u16 = std::env::var("PORT").expect("PORT is set").parse().expect("PORT is a port");
    let store = RedisSessionStore::new(url).await.expect("Redis is there");
    // The same in every process, so that instances can share sessions.
    let key = Key::from(&[7; 64]);
    let site = Data::new(Site::load());
    let idle = Duration::try_from(IDLE_TIMEOUT).expect("a day");
    HttpServer::new(move || {
        let lifecycle = PersistentSession::default().session_ttl(idle);
        let sessions = SessionMiddleware::builder(store.clone(), key.clone())
            .session_lifecycle(lifecycle)
            .build();
        App::new()
            .wrap(sessions)
            .app_data(site.clone())
            .route("/", get().to(view))
            .route("/foo", get().to(view))
            .route("/bar", get().to(view))
            .route("/session/regenerate", post().to(regenerate))
            .route("/session/destroy", post().to(end))
    })
    .bind(("127.0.0.1", port))?
    .run()
    .await
}
