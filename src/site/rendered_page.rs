//! A page's HTML, from the cache of rendered pages.
//!
//! To render a page without the cache, pass its values to `Template::render`, as `session_page`
//! does.

use std::hash::{Hash, Hasher};

use rocket::Request;
use rocket::http::Status;
use rocket::response::content::RawHtml;
use rocket::response::{self, Responder};
use rocket_dyn_templates::Template;
use serde::Serialize;

use super::cookie_notice::CookieNotice;
use super::counts::Counts;
use super::instance::Instance;
use super::layout::Link;
use super::page::Page;
use super::page_cache::{PageCache, Placeholder, Values};
use super::page_view::PageView;
use super::relative_time::RelativeTime;

/// A page of HTML: its shape, and the values for this view.
pub(super) struct RenderedPage {
    shape: PageShape,
    values: Values,
}

impl RenderedPage {
    /// `notice`: what to say to a visitor whose session has just begun.
    pub(super) fn new(view: PageView<'_>, notice: Option<CookieNotice>) -> Self {
        let mut values = Values::default();
        let shape = PageShape {
            page: CurrentPage::new(&view.counts, &mut values),
            pages: view.counts.iter().map(|it| Bar::new(it, &view.counts, &mut values)).collect(),
            total: values.push(view.counts.total()),
            instances: view
                .instances
                .iter()
                .map(|id| SeenInstance {
                    id: values.push(id),
                    current: id == view.layout.instance.id(),
                })
                .collect(),
            created: TimeCell::new(&view.created, &mut values),
            expires: TimeCell::new(&view.expires, &mut values),
            store: view.store,
            is_returning: view.is_returning,
            is_forgotten: notice.is_some_and(CookieNotice::is_lasting),
            notice: notice.map(CookieNotice::text),
            nav: view.layout.nav,
        };
        Self { shape, values }
    }
}

impl<'r> Responder<'r, 'static> for RenderedPage {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let Self { shape, values } = self;
        let rocket = request.rocket();
        let render = || {
            let context = Context { shape: &shape, instance: rocket.state()? };
            Template::show(rocket, shape.page.template, context)
        };
        let cache = rocket.state::<PageCache<PageShape>>();
        let html = cache.and_then(|cache| cache.fill(&shape, &values, render));
        let html = html.ok_or(Status::InternalServerError)?;
        // Rocket sends a body in chunks of 4 KiB, each with a write to the socket. In a chunk of one
        // more byte than the body, Rocket finds the body's end as well.
        let chunk = html.len() + 1;
        let mut response = RawHtml(html).respond_to(request)?;
        response.set_max_chunk_size(chunk);
        Ok(response)
    }
}

/// A template's context.
#[derive(Debug, Serialize)]
struct Context<'a> {
    #[serde(flatten)]
    shape: &'a PageShape,
    instance: &'a Instance,
}

/// Everything that the HTML of a page depends on, except the values that are filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PageShape {
    nav: Vec<Link>,
    page: CurrentPage,
    pages: Vec<Bar>,
    total: Placeholder,
    instances: Vec<SeenInstance>,
    store: &'static str,
    created: TimeCell,
    expires: TimeCell,
    is_returning: bool,
    /// Whether the visitor will be new at the next view too.
    is_forgotten: bool,
    notice: Option<&'static str>,
}

/// Hashing every part takes as long as filling the page in. Only a few shapes have the same hash.
impl Hash for PageShape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.page.path, self.page.is_once, self.instances.len()).hash(state);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct CurrentPage {
    path: &'static str,
    title: &'static str,
    #[serde(skip)]
    template: &'static str,
    views: Placeholder,
    is_once: bool,
    /// Whether the count has more than three digits.
    is_long: bool,
    tally: Option<Tally>,
}

impl CurrentPage {
    fn new(counts: &Counts, values: &mut Values) -> Self {
        let (page, views) = (counts.page, counts.current());
        Self {
            path: page.path(),
            title: page.title(),
            template: page.template(),
            views: values.push(views),
            is_once: views == 1,
            is_long: views > 999,
            tally: Tally::new(views, values),
        }
    }
}

/// A drawing of one stroke for each view, with every fifth across the four before it. Its numbers
/// are lengths in the drawing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Tally {
    width: Placeholder,
    /// The length of the upright strokes, without the last view's.
    strokes: Placeholder,
    /// The length of the strokes across, without the last view's.
    fifths: Placeholder,
    /// Where the last view's stroke is.
    last: Placeholder,
    is_fifth: bool,
}

impl Tally {
    /// The highest count that is drawn.
    const MAX: u64 = 150;

    fn new(views: u64, values: &mut Values) -> Option<Self> {
        let before = views.checked_sub(1)?;
        let is_fifth = views.is_multiple_of(5);
        (views <= Self::MAX).then(|| Self {
            width: values.push(views * 10 + 2),
            strokes: values.push(before * 10),
            fifths: values.push((before - before % 5) * 10),
            last: values.push(views * 10 - if is_fifth { 48 } else { 5 }),
            is_fifth,
        })
    }
}

/// One page in the table of all counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Bar {
    path: &'static str,
    title: &'static str,
    views: Placeholder,
    /// The bar's length, in percent of the longest.
    percent: Placeholder,
    current: bool,
}

impl Bar {
    fn new((page, views): (Page, u64), counts: &Counts, values: &mut Values) -> Self {
        let highest = u128::from(counts.highest().max(1));
        Self {
            path: page.path(),
            title: page.title(),
            views: values.push(views),
            percent: values.push(u128::from(views) * 100 / highest),
            current: page == counts.page,
        }
    }
}

/// An instance that has answered the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct SeenInstance {
    id: Placeholder,
    current: bool,
}

/// The two texts of a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct TimeCell {
    text: Placeholder,
    exact: Placeholder,
}

impl TimeCell {
    fn new(time: &RelativeTime, values: &mut Values) -> Self {
        Self { text: values.push(&time.text), exact: values.push(&time.exact) }
    }
}
