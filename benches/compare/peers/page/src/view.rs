//! The context of the project's templates, and the values in it that differ from view to view.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::record::Shown;
use crate::{IDLE_TIMEOUT, PAGES, Page};

/// A value of one view.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Number(u64),
    Text(String),
}

impl Value {
    pub(crate) fn write_to(&self, html: &mut String) {
        use std::fmt::Write;
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Number(number) => write!(html, "{number}"),
            Self::Text(text) => write!(html, "{text}"),
        };
    }
}

/// All values of one view: three counts, three lengths of bars, the sum, and three times.
pub(crate) type Values = [Value; 10];

pub(crate) fn values(shown: &Shown<'_>) -> Values {
    let now = SystemTime::now();
    let [home, foo, bar] = shown.views.map(Value::Number);
    let percent = |views: u64| Value::Number(views * 100 / shown.highest());
    let [home_percent, foo_percent, bar_percent] = shown.views.map(percent);
    let times = [
        Value::Text(ago(now, shown.began)),
        Value::Text(exact(shown.began)),
        Value::Text(exact(now + IDLE_TIMEOUT)),
    ];
    let [ago, began, expires] = times;
    let total = Value::Number(shown.total());
    [home, foo, bar, home_percent, foo_percent, bar_percent, total, ago, began, expires]
}

/// The context of a page's template.
#[derive(Serialize)]
pub struct View<'a> {
    nav: Vec<Link>,
    instance: Instance<'a>,
    page: Current,
    pages: Vec<Bar>,
    total: Value,
    instances: Vec<Answered<'a>>,
    store: &'static str,
    created: Moment,
    expires: Moment,
    is_returning: bool,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        page: Page,
        values: Values,
        shown: &Shown<'a>,
        instance: &'a str,
        is_returning: bool,
    ) -> Self {
        let [home, foo, bar, home_percent, foo_percent, bar_percent, total, ago, began, expires] =
            values;
        let count = shown.views[page.index()];
        let views = [home, foo, bar];
        let link = |(path, title): (&'static str, &'static str)| Link {
            path,
            title,
            current: path == page.path,
        };
        Self {
            nav: PAGES
                .iter()
                .map(|it| (it.path, it.title))
                .chain([("/session", "Session"), ("/about", "About")])
                .map(link)
                .collect(),
            instance: Instance { id: instance, revision: "local" },
            page: Current {
                path: page.path,
                title: page.title,
                views: views[page.index()].clone(),
                is_once: count == 1,
                is_long: count > 999,
                tally: Tally::of(count),
            },
            pages: PAGES
                .into_iter()
                .zip(views)
                .zip([home_percent, foo_percent, bar_percent])
                .map(|((it, views), percent)| Bar {
                    path: it.path,
                    title: it.title,
                    views,
                    percent,
                    current: it.path == page.path,
                })
                .collect(),
            total,
            instances: shown
                .instances
                .iter()
                .map(|id| Answered { id, current: id == instance })
                .collect(),
            store: "Redis",
            created: Moment { text: ago, exact: began },
            expires: Moment { text: Value::Text("in 1 day".to_owned()), exact: expires },
            is_returning,
        }
    }
}

fn exact(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn ago(now: SystemTime, time: SystemTime) -> String {
    let seconds = now.duration_since(time).unwrap_or(Duration::ZERO).as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    match units.into_iter().find(|(size, _)| seconds >= *size) {
        None => "just now".to_owned(),
        Some((size, unit)) if seconds / size == 1 => format!("1 {unit} ago"),
        Some((size, unit)) => format!("{} {unit}s ago", seconds / size),
    }
}

#[derive(Serialize)]
struct Link {
    path: &'static str,
    title: &'static str,
    current: bool,
}

#[derive(Serialize)]
struct Instance<'a> {
    id: &'a str,
    revision: &'static str,
}

#[derive(Serialize)]
struct Current {
    path: &'static str,
    title: &'static str,
    views: Value,
    is_once: bool,
    is_long: bool,
    tally: Option<Tally>,
}

#[derive(Serialize)]
struct Tally {
    width: u64,
    strokes: u64,
    fifths: u64,
    last: u64,
    is_fifth: bool,
}

impl Tally {
    /// A higher count is only a number.
    const MAX: u64 = 150;

    fn of(views: u64) -> Option<Self> {
        let before = views.checked_sub(1)?;
        let is_fifth = views.is_multiple_of(5);
        (views <= Self::MAX).then(|| Self {
            width: views * 10 + 2,
            strokes: before * 10,
            fifths: (before - before % 5) * 10,
            last: views * 10 - if is_fifth { 48 } else { 5 },
            is_fifth,
        })
    }
}

#[derive(Serialize)]
struct Bar {
    path: &'static str,
    title: &'static str,
    views: Value,
    percent: Value,
    current: bool,
}

#[derive(Serialize)]
struct Answered<'a> {
    id: &'a str,
    current: bool,
}

#[derive(Serialize)]
struct Moment {
    text: Value,
    exact: Value,
}
