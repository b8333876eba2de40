//! The pages that count their views.

use std::time::SystemTime;

use page::{PAGES, Page, Shown, Site, renders_each_view, wants_json};
use rocket::http::ContentType;
use rocket::request::{FromRequest, Outcome, Request};
use rocket::response::{self, Responder};
use rocket::{Route, State, async_trait, get, routes};
use rocket_dyn_templates::Template;
use rocket_server_sessions::{Key, Result, Session};

const VIEWS: Key<i64> = Key::new("views");
const INSTANCES: Key<Vec<String>> = Key::new("instances");

pub fn routes(has_sessions: bool) -> Vec<Route> {
    if has_sessions { routes![home, foo, bar] } else { routes![bare_home, bare_foo, bare_bar] }
}

#[get("/")]
async fn home(session: Session<'_>, to: Reader<'_>) -> Result<Drawn> {
    view(PAGES[0], session, to).await
}

#[get("/foo")]
async fn foo(session: Session<'_>, to: Reader<'_>) -> Result<Drawn> {
    view(PAGES[1], session, to).await
}

#[get("/bar")]
async fn bar(session: Session<'_>, to: Reader<'_>) -> Result<Drawn> {
    view(PAGES[2], session, to).await
}

#[get("/")]
fn bare_home(to: Reader<'_>) -> Drawn {
    to.draw(PAGES[0], &to.site.nobody(), true)
}

#[get("/foo")]
fn bare_foo(to: Reader<'_>) -> Drawn {
    to.draw(PAGES[1], &to.site.nobody(), true)
}

#[get("/bar")]
fn bare_bar(to: Reader<'_>) -> Drawn {
    to.draw(PAGES[2], &to.site.nobody(), true)
}

/// Counts the view as the application does, and shows the counts.
async fn view(page: Page, session: Session<'_>, to: Reader<'_>) -> Result<Drawn> {
    let is_returning = session.info().is_some();
    let mut batch = session.batch().increment(VIEWS.at(page.path), 1);
    if !is_returning {
        batch = batch.insert(INSTANCES, &vec![to.site.instance().to_owned()]);
    }
    let snapshot = batch.commit().await?;
    let mut instances = snapshot.get(INSTANCES)?.unwrap_or_default();
    if !instances.iter().any(|it| it == to.site.instance()) {
        instances.push(to.site.instance().to_owned());
        session.insert(INSTANCES, &instances).await?;
    }
    let mut views = [0; PAGES.len()];
    for (count, page) in views.iter_mut().zip(PAGES) {
        let found = snapshot.get(VIEWS.at(page.path))?.unwrap_or_default();
        *count = found.try_into().unwrap_or_default();
    }
    let began = session.info().map_or_else(SystemTime::now, |it| it.created);
    Ok(to.draw(page, &Shown { views, began, instances: &instances }, is_returning))
}

/// The response to a request, and its format.
struct Reader<'r> {
    site: &'r State<Site>,
    accept: Option<&'r str>,
}

#[async_trait]
impl<'r> FromRequest<'r> for Reader<'r> {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let accept = request.headers().get_one("Accept");
        request.guard::<&State<Site>>().await.map(|site| Self { site, accept })
    }
}

impl Reader<'_> {
    fn draw(&self, page: Page, shown: &Shown<'_>, is_returning: bool) -> Drawn {
        if wants_json(self.accept) {
            return Drawn::Text(ContentType::JSON, self.site.json(page.path, shown));
        }
        if renders_each_view() {
            let view = self.site.view(page, shown, is_returning);
            return Drawn::Template(Template::render(page.template, view));
        }
        Drawn::Text(ContentType::HTML, self.site.html(page.path, shown, is_returning))
    }
}

enum Drawn {
    Text(ContentType, String),
    Template(Template),
}

impl<'r> Responder<'r, 'static> for Drawn {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        match self {
            Self::Text(kind, text) => (kind, text).respond_to(request),
            Self::Template(template) => template.respond_to(request),
        }
    }
}
