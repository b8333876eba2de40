//! What the peers in Rust have in common: the project's own templates, drawn by the same engine
//! from the same counts. So the peers differ by their framework and their sessions alone.

use std::collections::{BTreeMap, HashMap};
use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tera::{Context, Tera, Value};

/// How long a session lasts that is not used.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// How long a slow request waits between reading its session and going on.
pub const SLOW: Duration = Duration::from_millis(200);

const PAGES: [(&str, &str, &str); 3] =
    [("/", "Home", "index"), ("/foo", "Foo", "foo"), ("/bar", "Bar", "bar")];

/// What a session holds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Record {
    /// Seconds since the Unix epoch.
    pub began: u64,
    /// The processes that have answered.
    pub instances: Vec<String>,
    /// How often each page was viewed, by path.
    pub views: BTreeMap<String, u64>,
}

impl Record {
    /// What a session holds that begins now.
    #[must_use]
    pub fn begin() -> Self {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { began, ..Self::default() }
    }

    /// Counts a view that the process `instance` answers.
    pub fn count(&mut self, path: &str, instance: &str) {
        *self.views.entry(path.to_owned()).or_default() += 1;
        if !self.instances.iter().any(|it| it == instance) {
            self.instances.push(instance.to_owned());
        }
    }

    fn of(&self, path: &str) -> u64 {
        self.views.get(path).copied().unwrap_or_default()
    }
}

/// The pages.
pub struct Site {
    tera: Tera,
    /// The name of this process.
    pub instance: String,
}

impl Site {
    /// Reads the templates below the working directory.
    ///
    /// # Panics
    ///
    /// Where there are none, or Tera cannot read them.
    #[must_use]
    pub fn load() -> Self {
        let mut tera = Tera::default();
        tera.autoescape_on(vec![".html.tera"]);
        tera.register_function("asset", asset);
        let files = std::fs::read_dir("templates").expect("the templates are read");
        let named = files.map(|file| {
            let path = file.expect("a template is found").path();
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            let name = name.trim_end_matches(".html.tera").to_owned();
            (path, Some(name))
        });
        tera.add_template_files(named).expect("the templates are well-formed");
        Self { tera, instance: format!("{:06x}", process::id()) }
    }

    /// The page at `path` as HTML.
    ///
    /// # Panics
    ///
    /// Where the template asks for something that is not there.
    #[must_use]
    pub fn html(&self, path: &str, record: &Record, is_returning: bool) -> String {
        let (path, title, template) = PAGES[index(path)];
        let now = SystemTime::now();
        let began = UNIX_EPOCH + Duration::from_secs(record.began);
        let views = record.of(path);
        let most = record.views.values().copied().max().unwrap_or_default().max(1);
        let link = |(href, title): (&'static str, &'static str)| Link {
            path: href,
            title,
            current: href == path,
        };
        let view = View {
            nav: PAGES
                .iter()
                .map(|(href, title, _)| (*href, *title))
                .chain([("/session", "Session"), ("/about", "About")])
                .map(link)
                .collect(),
            instance: Instance { id: &self.instance, revision: "local" },
            page: Current {
                path,
                title,
                views,
                is_once: views == 1,
                is_long: views > 999,
                tally: Tally::of(views),
            },
            pages: PAGES
                .iter()
                .map(|(href, title, _)| Bar {
                    path: href,
                    title,
                    views: record.of(href),
                    percent: record.of(href) * 100 / most,
                    current: *href == path,
                })
                .collect(),
            total: record.views.values().sum(),
            instances: record
                .instances
                .iter()
                .map(|id| Answered { id, current: *id == self.instance })
                .collect(),
            store: "Redis",
            created: Moment { text: ago(now, began), exact: exact(began) },
            expires: Moment { text: "in 1 day".to_owned(), exact: exact(now + IDLE_TIMEOUT) },
            is_returning,
        };
        let context = Context::from_serialize(view).expect("the context is a map");
        self.tera.render(template, &context).expect("the template is drawn")
    }

    /// The counts as JSON.
    ///
    /// # Panics
    ///
    /// Never: numbers and texts can be written as JSON.
    #[must_use]
    pub fn json(&self, path: &str, record: &Record) -> String {
        let pages =
            Pages { home: record.of("/"), foo: record.of("/foo"), bar: record.of("/bar") };
        let counts = Counts { page: path, views: record.of(path), pages };
        serde_json::to_string(&counts).expect("counts are JSON")
    }
}

/// What a visitor may do, and what a late request has written, as JSON.
#[must_use]
pub fn rights(rights: Option<String>, note: Option<String>) -> String {
    serde_json::json!({ "rights": rights, "note": note }).to_string()
}

/// Whether `accept` asks for JSON before HTML.
#[must_use]
pub fn wants_json(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| accept.starts_with("application/json"))
}

/// Where a file of the folder `static` is found: an address of the same length as ours.
#[expect(clippy::unnecessary_wraps, reason = "Tera wants a result")]
fn asset(arguments: &HashMap<String, Value>) -> tera::Result<Value> {
    let name = arguments.get("name").and_then(Value::as_str).unwrap_or_default();
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    Ok(format!("/static/{stem}.0123456789ab.{extension}").into())
}

fn index(path: &str) -> usize {
    PAGES.iter().position(|(href, ..)| *href == path).unwrap_or(0)
}

fn exact(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn ago(now: SystemTime, time: SystemTime) -> String {
    let seconds = now.duration_since(time).unwrap_or_default().as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    match units.into_iter().find(|(size, _)| seconds >= *size) {
        None => "just now".to_owned(),
        Some((size, unit)) if seconds / size == 1 => format!("1 {unit} ago"),
        Some((size, unit)) => format!("{} {unit}s ago", seconds / size),
    }
}

#[derive(Serialize)]
struct Counts<'a> {
    page: &'a str,
    views: u64,
    pages: Pages,
}

#[derive(Serialize)]
struct Pages {
    #[serde(rename = "/")]
    home: u64,
    #[serde(rename = "/foo")]
    foo: u64,
    #[serde(rename = "/bar")]
    bar: u64,
}

#[derive(Serialize)]
struct View<'a> {
    nav: Vec<Link>,
    instance: Instance<'a>,
    page: Current,
    pages: Vec<Bar>,
    total: u64,
    instances: Vec<Answered<'a>>,
    store: &'static str,
    created: Moment,
    expires: Moment,
    is_returning: bool,
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
    views: u64,
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
    fn of(views: u64) -> Option<Self> {
        let before = views.checked_sub(1)?;
        let is_fifth = views.is_multiple_of(5);
        (views <= 150).then(|| Self {
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
    views: u64,
    percent: u64,
    current: bool,
}

#[derive(Serialize)]
struct Answered<'a> {
    id: &'a str,
    current: bool,
}

#[derive(Serialize)]
struct Moment {
    text: String,
    exact: String,
}
