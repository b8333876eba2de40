//! A view of a page: counted, and answered with all the counts.

use std::time::SystemTime;

use metrics::{Counter, counter, describe_counter};
use rocket::fairing::AdHoc;
use rocket::http::{Accept, Method, Status};
use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest, Request};
use rocket::response::content::RawHtml;
use rocket::response::{self, Responder};
use rocket::serde::json::Json;
use rocket::{Either, State, get};
use rocket_dyn_templates::Template;
use serde::{Serialize, Serializer};

use super::frame::{Frame, Link};
use super::instance::Instance;
use super::moment::Moment;
use super::page::Page;
use super::stencil::{Slot, Stencils, Values};
use rocket_server_sessions::{self as session, Error, Key, Session, Snapshot};

/// The instances that have answered the session, in the order of their first answer.
const INSTANCES: Key<Vec<String>> = Key::new("instances");

/// So many are remembered; each costs one further round trip, once.
const MAX_INSTANCES: usize = 6;

#[get("/")]
pub(super) async fn home(
    intent: Intent,
    session: Session<'_>,
    frame: Frame<'_>,
    accept: Option<&Accept>,
    counters: &State<Counters>,
) -> Result<Viewed, Failure> {
    respond(Page::HOME, intent, session, frame, accept, counters).await
}

#[get("/<segment>")]
pub(super) async fn view(
    segment: &str,
    intent: Intent,
    session: Session<'_>,
    frame: Frame<'_>,
    accept: Option<&Accept>,
    counters: &State<Counters>,
) -> Result<Viewed, Failure> {
    let page = Page::at(segment).ok_or(Failure::NoSuchPage)?;
    respond(page, intent, session, frame, accept, counters).await
}

/// A page with its counts, as HTML or JSON.
type Viewed = Either<Drawing, Json<Counts>>;

async fn respond(
    page: &'static Page,
    intent: Intent,
    session: Session<'_>,
    frame: Frame<'_>,
    accept: Option<&Accept>,
    counters: &State<Counters>,
) -> Result<Viewed, Failure> {
    let is_returning = session.info().is_some();
    let instance = &frame.instance.id;
    let snapshot = match intent {
        Intent::View => {
            let snapshot = count(page, session, instance).await?;
            counters.count(page);
            snapshot
        }
        Intent::Look => session.snapshot().await?,
    };
    let counts = Counts { page, views: Page::ALL.iter().map(|it| views(&snapshot, it)).collect() };
    if accept.is_some_and(|accept| accept.preferred().is_json()) {
        return Ok(Either::Right(Json(counts)));
    }
    let now = SystemTime::now();
    let info = session.info();
    let mut values = Values::default();
    let mut moment = |time: Option<SystemTime>| {
        let Moment { text, exact } = Moment::seen_from(now, time.unwrap_or(now));
        Marked { text: values.put(text), exact: values.put(exact) }
    };
    let began = moment(info.map(|it| it.created));
    let lapses = moment(info.map(|it| it.idle_expiry.unwrap_or(it.absolute_expiry)));
    let sketch = Sketch {
        page: Current::of(&counts, &mut values),
        pages: counts.bars(&mut values),
        total: values.put(counts.total()),
        instances: answered(&snapshot, instance, &mut values),
        store: session.store(),
        began,
        lapses,
        cookie_seen: is_returning,
        nav: frame.nav,
    };
    Ok(Either::Left(Drawing { sketch, values }))
}

/// Counts one view, and remembers the instance where it is new to the session.
///
/// One round trip; a second one when another instance answers for the first time.
async fn count(page: &Page, session: Session<'_>, instance: &str) -> session::Result<Snapshot> {
    let mut batch = session.batch().increment(page.views(), 1);
    if session.info().is_none() {
        batch = batch.insert(INSTANCES, &vec![instance.to_owned()]);
    }
    let snapshot = match batch.commit().await {
        Ok(snapshot) if views(&snapshot, page) > 0 => snapshot,
        Ok(_) | Err(Error::NotAnInteger { .. }) => {
            log::warn!("the count in `{}` is damaged; it starts anew", page.views().name());
            session.batch().insert(page.views(), &1).commit().await?
        }
        Err(error) => return Err(error),
    };
    let mut instances = snapshot.get(INSTANCES).ok().flatten().unwrap_or_default();
    if instances.len() < MAX_INSTANCES && !instances.iter().any(|it| it == instance) {
        instances.push(instance.to_owned());
        // The view is counted already; whether its instance is remembered changes nothing in that.
        if let Err(error) = session.insert(INSTANCES, &instances).await {
            log::warn!("an instance was not remembered: {error}");
        }
    }
    Ok(snapshot)
}

/// How many views each page has had from all visitors together, for whatever recorder of metrics is
/// installed.
pub(super) struct Counters(Vec<(&'static str, Counter)>);

impl Counters {
    pub(super) fn register() -> Self {
        const VIEWS: &str = "site_views_total";
        describe_counter!(VIEWS, "Views that were counted, by page.");
        Self(Page::ALL.iter().map(|it| (it.path, counter!(VIEWS, "page" => it.path))).collect())
    }

    fn count(&self, page: &Page) {
        if let Some((_, counter)) = self.0.iter().find(|(path, _)| *path == page.path) {
            counter.increment(1);
        }
    }
}

/// A page's count. What is damaged counts as nothing, until the page's next view mends it.
fn views(snapshot: &Snapshot, page: &Page) -> u64 {
    let views = snapshot.get(page.views()).ok().flatten().unwrap_or_default();
    views.try_into().unwrap_or_default()
}

/// The instances that have answered, and whether each is this one.
fn answered(snapshot: &Snapshot, current: &str, values: &mut Values) -> Vec<Answered> {
    let mut ids = snapshot.get(INSTANCES).ok().flatten().unwrap_or_default();
    if !ids.iter().any(|id| id == current) {
        ids.push(current.to_owned());
    }
    ids.iter().map(|id| Answered { current: id == current, id: values.put(id) }).collect()
}

/// The counts of all pages, seen from one of them.
pub(super) struct Counts {
    page: &'static Page,
    /// In the order of [`Page::ALL`].
    views: Vec<u64>,
}

impl Counts {
    fn iter(&self) -> impl Iterator<Item = (&'static Page, u64)> {
        Page::ALL.iter().zip(self.views.iter().copied())
    }

    fn current(&self) -> u64 {
        self.iter().find(|(page, _)| page.path == self.page.path).map_or(0, |(_, views)| views)
    }

    fn total(&self) -> u64 {
        self.views.iter().fold(0, |sum, views| sum.saturating_add(*views))
    }

    fn bars(&self, values: &mut Values) -> Vec<Bar> {
        let most = self.views.iter().copied().max().unwrap_or_default().max(1);
        self.iter()
            .map(|(page, views)| Bar {
                path: page.path,
                title: page.title,
                views: values.put(views),
                percent: values.put(u128::from(views) * 100 / u128::from(most)),
                current: page.path == self.page.path,
            })
            .collect()
    }
}

/// `{"page":"/foo","views":3,"pages":{"/":1,"/foo":3,"/bar":0}}`
impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            page: &'static str,
            views: u64,
            #[serde(serialize_with = "by_path")]
            pages: &'a Counts,
        }
        fn by_path<S: Serializer>(counts: &Counts, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(counts.iter().map(|(page, views)| (page.path, views)))
        }
        Shape { page: self.page.path, views: self.current(), pages: self }.serialize(serializer)
    }
}

/// What has been drawn, for all views to come.
pub(super) type Pages = Stencils<Sketch>;

/// A page of HTML: its sketch, and what this view fills in.
pub(super) struct Drawing {
    sketch: Sketch,
    values: Values,
}

impl<'r> Responder<'r, 'static> for Drawing {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let Self { sketch, values } = self;
        let rocket = request.rocket();
        let draw = || {
            let context = Context { sketch: &sketch, instance: rocket.state()? };
            Template::show(rocket, sketch.page.template, context)
        };
        let page = rocket.state::<Pages>().and_then(|pages| pages.fill(&sketch, &values, draw));
        RawHtml(page.ok_or(Status::InternalServerError)?).respond_to(request)
    }
}

/// What a page's template is given.
#[derive(Debug, Serialize)]
struct Context<'a> {
    #[serde(flatten)]
    sketch: &'a Sketch,
    instance: &'a Instance,
}

/// What views of a page can have in common: everything but the values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Sketch {
    nav: Vec<Link>,
    page: Current,
    pages: Vec<Bar>,
    total: Slot,
    instances: Vec<Answered>,
    store: &'static str,
    began: Marked,
    lapses: Marked,
    cookie_seen: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Current {
    path: &'static str,
    title: &'static str,
    #[serde(skip)]
    template: &'static str,
    views: Slot,
    is_once: bool,
    /// Whether the count has more than three digits.
    is_long: bool,
    tally: Option<Tally>,
}

impl Current {
    fn of(counts: &Counts, values: &mut Values) -> Self {
        let Page { path, title, template } = *counts.page;
        let count = counts.current();
        Self {
            path,
            title,
            template,
            views: values.put(count),
            is_once: count == 1,
            is_long: count > 999,
            tally: Tally::of(count, values),
        }
    }
}

/// One stroke for each view, every fifth across the four before it: lengths in the drawing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Tally {
    width: Slot,
    /// The length of the upright strokes, without the last view's.
    strokes: Slot,
    /// The length of the strokes across, without the last view's.
    fifths: Slot,
    /// Where the last view's stroke is.
    last: Slot,
    is_fifth: bool,
}

impl Tally {
    /// More views than these are a number only.
    const MAX: u64 = 150;

    fn of(views: u64, values: &mut Values) -> Option<Self> {
        let before = views.checked_sub(1)?;
        let is_fifth = views.is_multiple_of(5);
        (views <= Self::MAX).then(|| Self {
            width: values.put(views * 10 + 2),
            strokes: values.put(before * 10),
            fifths: values.put((before - before % 5) * 10),
            last: values.put(views * 10 - if is_fifth { 48 } else { 5 }),
            is_fifth,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Bar {
    path: &'static str,
    title: &'static str,
    views: Slot,
    percent: Slot,
    current: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Answered {
    id: Slot,
    current: bool,
}

/// A moment's two texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Marked {
    text: Slot,
    exact: Slot,
}

/// Whether somebody views the page, or a program only looks whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// A view, which counts.
    View,
    /// `HEAD`, or a browser that fetches ahead of a person's click: counts nothing, makes nothing.
    Look,
}

impl Intent {
    /// Notes the intent of each request before routing: Rocket hands a `HEAD` to the route for
    /// `GET` as if it were one.
    pub(super) fn fairing() -> AdHoc {
        AdHoc::on_request("Intent", |request, _| {
            Box::pin(async move {
                Self::of(request);
            })
        })
    }

    fn of(request: &Request<'_>) -> Self {
        *request.local_cache(|| {
            // `Sec-Purpose` is the standard's header; the others are what older browsers send.
            let is_ahead = ["Sec-Purpose", "Purpose", "X-Moz", "X-Purpose"]
                .iter()
                .flat_map(|name| request.headers().get(name))
                .any(|value| value.contains("prefetch") || value.contains("preview"));
            let is_look = is_ahead || request.method() == Method::Head;
            if is_look { Self::Look } else { Self::View }
        })
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Intent {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        Outcome::Success(Self::of(request))
    }
}

/// Why there is no page to show.
pub(super) enum Failure {
    NoSuchPage,
    Session(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

impl<'r> Responder<'r, 'static> for Failure {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        match self {
            Self::NoSuchPage => Err(Status::NotFound),
            Self::Session(error) => error.respond_to(request),
        }
    }
}
