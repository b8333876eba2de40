//! What the Rust programs have in common: the project's own pages, with the same bytes and the same
//! headers. So the programs only differ in their framework and their sessions.
//!
//! `PAGES=templates` renders the template for each view. Without it, pages are rendered at launch
//! and only filled in for each view. `SESSIONS=off` shows the same counts to every visitor.

mod prebuilt;
mod record;
mod view;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use std::{env, process};

use serde::Serialize;
use tera::{Context, Tera};

use prebuilt::Prebuilt;
pub use record::{Record, Shown};
pub use view::View;

/// How long an unused session lasts.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// How long a slow request waits after it has read its session.
pub const SLOW: Duration = Duration::from_millis(200);

/// The threads that handle requests.
pub const WORKERS: usize = 2;

/// The headers of every response: those that the application sends over plain HTTP.
pub const HEADERS: [(&str, &str); 10] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
    ),
    ("cache-control", "no-store"),
    ("vary", "Cookie, Accept"),
];

/// A page that counts its views.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its address.
    pub path: &'static str,
    title: &'static str,
    /// The name of its template.
    pub template: &'static str,
}

/// All pages.
pub const PAGES: [Page; 3] = [
    Page { path: "/", title: "Home", template: "index" },
    Page { path: "/foo", title: "Foo", template: "foo" },
    Page { path: "/bar", title: "Bar", template: "bar" },
];

impl Page {
    /// The page at `path`; the first one if there is none.
    #[must_use]
    pub fn at(path: &str) -> Self {
        PAGES.into_iter().find(|it| it.path == path).unwrap_or(PAGES[0])
    }

    /// Its place in [`PAGES`].
    #[must_use]
    pub fn index(self) -> usize {
        PAGES.iter().position(|it| it.path == self.path).unwrap_or(0)
    }
}

/// The pages, and this process.
pub struct Site {
    tera: Tera,
    /// For each page, one for counts of up to three digits and one for larger counts. Empty if pages are
    /// not prebuilt.
    prebuilt: Vec<[Prebuilt; 2]>,
    /// The name of this process, and of all that have answered a session here.
    instances: [String; 1],
}

impl Site {
    /// Reads the templates below the working directory.
    ///
    /// # Panics
    ///
    /// If there are none, or Tera cannot read them.
    #[must_use]
    pub fn load() -> Self {
        let mut tera = Tera::default();
        tera.autoescape_on(vec![".html.tera"]);
        tera.register_function("asset", Asset);
        let files = std::fs::read_dir("templates").expect("the templates are read");
        let named = files.map(|file| {
            let path = file.expect("a template is found").path();
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            let name = name.trim_end_matches(".html.tera").to_owned();
            (path, Some(name))
        });
        tera.add_template_files(named).expect("the templates are well-formed");
        let instances = [format!("{:06x}", process::id())];
        let mut site = Self { tera, prebuilt: Vec::new(), instances };
        if !renders_each_view() {
            let build = |page: Page, views: u64| {
                let shown = Shown { views: [views; PAGES.len()], ..site.nobody() };
                let placeholders = Prebuilt::placeholders();
                let view = View::new(page, placeholders, &shown, site.instance(), true);
                Prebuilt::parse(&site.render(page, &view))
            };
            site.prebuilt = PAGES.map(|page| [build(page, 999), build(page, 1000)]).into();
        }
        site
    }

    /// The name of this process.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instances[0]
    }

    /// The counts that a program without sessions shows to every visitor.
    #[must_use]
    pub fn nobody(&self) -> Shown<'_> {
        Shown { views: [500; 3], began: SystemTime::now(), instances: &self.instances }
    }

    /// The page at `path` as HTML.
    ///
    /// # Panics
    ///
    /// If the template uses a variable that is missing.
    #[must_use]
    pub fn html(&self, path: &str, shown: &Shown<'_>, is_returning: bool) -> String {
        let page = Page::at(path);
        match self.prebuilt(page, shown) {
            Some(prebuilt) if is_returning => prebuilt.fill(&view::values(shown)),
            _ => self.render(page, &self.view(page, shown, is_returning)),
        }
    }

    /// The context of a page's template.
    #[must_use]
    pub fn view<'a>(&'a self, page: Page, shown: &Shown<'a>, is_returning: bool) -> View<'a> {
        View::new(page, view::values(shown), shown, self.instance(), is_returning)
    }

    fn render(&self, page: Page, view: &View<'_>) -> String {
        let context = Context::from_serialize(view).expect("the context is a map");
        self.tera.render(page.template, &context).expect("the template is rendered")
    }

    /// The first views draw a tally, and a session may have seen other processes. Such a page is
    /// not prebuilt.
    fn prebuilt(&self, page: Page, shown: &Shown<'_>) -> Option<&Prebuilt> {
        let views = shown.views[page.index()];
        let pages = self.prebuilt.get(page.index())?;
        let is_usual = views > 150 && shown.instances == self.instances;
        is_usual.then(|| &pages[usize::from(views > 999)])
    }

    /// The counts as JSON.
    ///
    /// # Panics
    ///
    /// Never: numbers and texts can be written as JSON.
    #[must_use]
    pub fn json(&self, path: &str, shown: &Shown<'_>) -> String {
        let page = Page::at(path);
        let [home, foo, bar] = shown.views;
        let views = shown.views[page.index()];
        let counts = Counts { page: page.path, views, pages: Pages { home, foo, bar } };
        serde_json::to_string(&counts).expect("counts are JSON")
    }
}

/// Whether the template is rendered for each view.
#[must_use]
pub fn renders_each_view() -> bool {
    env::var("PAGES").is_ok_and(|it| it == "templates")
}

/// Whether the program has sessions.
#[must_use]
pub fn has_sessions() -> bool {
    env::var("SESSIONS").as_deref() != Ok("off")
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

/// A function for templates: where a file of the folder `static` is found, at an address of the
/// same length as ours.
pub struct Asset;

impl tera::Function for Asset {
    fn call(&self, arguments: &HashMap<String, tera::Value>) -> tera::Result<tera::Value> {
        let name = arguments.get("name").and_then(tera::Value::as_str).unwrap_or_default();
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        Ok(format!("/static/{stem}.0123456789ab.{extension}").into())
    }

    fn is_safe(&self) -> bool {
        true
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
