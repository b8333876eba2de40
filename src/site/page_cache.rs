//! Pages that are rendered once and filled in for each view.
//!
//! Rendering takes most of a view's time, and two views of a page differ only in some numbers,
//! times and names. So the template engine renders each shape of a page once, with a
//! [`Placeholder`] for each value, and a view only fills the [`Values`] in. A template can print a
//! placeholder, but not compute with it: anything that depends on a value belongs to the shape.

use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::RwLock;
use rocket_dyn_templates::tera;
use serde::{Serialize, Serializer};

/// The delimiters of a placeholder's number in rendered HTML: private-use characters, which no
/// template contains.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

/// The maximum number of pages that are kept. This site has fewer shapes; the limit is a safeguard
/// for memory.
const MAX_PAGES: usize = 1024;

/// The place of one of a view's [`Values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placeholder(usize);

impl Serialize for Placeholder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{OPEN}{}{CLOSE}", self.0))
    }
}

/// The values of one view, as HTML, in one string.
#[derive(Debug)]
pub(super) struct Values {
    html: String,
    ends: Vec<usize>,
}

/// Has room for the values of most pages.
impl Default for Values {
    fn default() -> Self {
        Self { html: String::with_capacity(256), ends: Vec::with_capacity(32) }
    }
}

impl Values {
    /// Adds a value and returns its placeholder. The same calls in the same order return the same
    /// placeholders.
    pub(super) fn push(&mut self, value: impl Display) -> Placeholder {
        let start = self.html.len();
        // Writing to a string cannot fail.
        let _ = write!(self.html, "{value}");
        if self.html[start..].contains(['&', '<', '>', '"', '\'']) {
            let escaped = tera::escape_html(&self.html[start..]);
            self.html.replace_range(start.., &escaped);
        }
        self.ends.push(self.html.len());
        Placeholder(self.ends.len() - 1)
    }

    fn get(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.html[start..self.ends[index]]
    }
}

/// The pages that have been rendered, by their shape. Clones share them.
#[derive(Debug)]
pub(super) struct PageCache<S>(Arc<RwLock<HashMap<S, Arc<CachedPage>>>>);

impl<S> Default for PageCache<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S> Clone for PageCache<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Clone + Eq + Hash> PageCache<S> {
    /// Returns the page of this shape with these values. Calls `render` if the shape is new, and
    /// returns `None` if that fails.
    pub(super) fn fill(
        &self,
        shape: &S,
        values: &Values,
        render: impl FnOnce() -> Option<String>,
    ) -> Option<String> {
        let cached = self.0.read().get(shape).cloned();
        if let Some(page) = cached {
            return Some(page.fill(values));
        }
        let page = Arc::new(CachedPage::parse(&render()?)?);
        let html = page.fill(values);
        let mut pages = self.0.write();
        if pages.len() < MAX_PAGES {
            pages.insert(shape.clone(), page);
        }
        Some(html)
    }

    /// Forgets all pages, because the templates have changed.
    pub(super) fn clear(&self) {
        self.0.write().clear();
    }
}

/// A rendered page, split at its placeholders.
#[derive(Debug)]
struct CachedPage {
    head: String,
    /// The index of each value, and the text after it.
    parts: Vec<(usize, String)>,
}

impl CachedPage {
    fn parse(rendered: &str) -> Option<Self> {
        let mut pieces = rendered.split(OPEN);
        let head = pieces.next()?.to_owned();
        let part = |piece: &str| {
            let (index, after) = piece.split_once(CLOSE)?;
            Some((index.parse().ok()?, after.to_owned()))
        };
        Some(Self { head, parts: pieces.map(part).collect::<Option<_>>()? })
    }

    fn fill(&self, values: &Values) -> String {
        let sizes = self.parts.iter().map(|(index, after)| values.get(*index).len() + after.len());
        let mut html = String::with_capacity(self.head.len() + sizes.sum::<usize>());
        html.push_str(&self.head);
        for (index, after) in &self.parts {
            html.push_str(values.get(*index));
            html.push_str(after);
        }
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(placeholders: &[Placeholder]) -> String {
        placeholders
            .iter()
            .map(|it| serde_json::to_value(it).unwrap().as_str().unwrap().to_owned())
            .fold("<p>".to_owned(), |page, text| page + &text + ";")
    }

    #[test]
    fn a_shape_is_rendered_once_and_filled_in_each_time() {
        let cache = PageCache::default();
        let fill = |shape: u8, text: &str, number: i64| {
            let mut values = Values::default();
            let placeholders = [values.push(text), values.push(number), Placeholder(0)];
            let mut renderings = 0;
            let page = cache.fill(&shape, &values, || {
                renderings += 1;
                Some(rendered(&placeholders))
            });
            (page.unwrap(), renderings)
        };
        assert_eq!(fill(1, "one", 1), ("<p>one;1;one;".to_owned(), 1));
        assert_eq!(fill(1, "two", -2), ("<p>two;-2;two;".to_owned(), 0));
        assert_eq!(fill(2, "", 3), ("<p>;3;;".to_owned(), 1));
        cache.clear();
        assert_eq!(fill(1, "x", 4), ("<p>x;4;x;".to_owned(), 1));
    }

    #[test]
    fn a_value_is_text_and_never_markup() {
        let mut values = Values::default();
        let placeholder = values.push("<b>&\"");
        let page = PageCache::default().fill(&(), &values, || Some(rendered(&[placeholder])));
        assert_eq!(page.unwrap(), "<p>&lt;b&gt;&amp;&quot;;");
    }

    #[test]
    fn a_page_that_cannot_be_rendered_is_not_cached() {
        let cache = PageCache::default();
        assert_eq!(cache.fill(&(), &Values::default(), || None), None);
        assert!(cache.0.read().is_empty());
    }
}
