//! Pages that are drawn once, and filled in for every view.
//!
//! Two views of a page differ by some numbers, times and names. So the template engine draws it
//! with marks where those go, once for each sketch that differs in anything else, and a view only
//! fills in its values. A template can therefore print a [`Slot`], but not reckon with it.

use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::RwLock;
use rocket_dyn_templates::tera;
use serde::{Serialize, Serializer};

/// What stands around a slot's number in a page that is not filled in: characters for private use,
/// which no template holds.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

/// A site has fewer sketches; whatever makes more must not fill the memory.
const MAX_STENCILS: usize = 1024;

/// Where one of a view's [`Values`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot(usize);

impl Serialize for Slot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{OPEN}{}{CLOSE}", self.0))
    }
}

/// What is filled in, as HTML, one after the other.
#[derive(Debug, Default)]
pub(super) struct Values {
    html: String,
    ends: Vec<usize>,
}

impl Values {
    /// Adds a value, and gives its slot. The same calls in the same order give the same slots.
    pub(super) fn put(&mut self, value: impl Display) -> Slot {
        let start = self.html.len();
        // Writing to a string cannot fail.
        let _ = write!(self.html, "{value}");
        if self.html[start..].contains(['&', '<', '>', '"', '\'']) {
            let escaped = tera::escape_html(&self.html[start..]);
            self.html.replace_range(start.., &escaped);
        }
        self.ends.push(self.html.len());
        Slot(self.ends.len() - 1)
    }

    fn get(&self, slot: usize) -> &str {
        let start = slot.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.html[start..self.ends[slot]]
    }
}

/// What was drawn so far, by sketch.
#[derive(Debug)]
pub(super) struct Stencils<K>(Arc<RwLock<HashMap<K, Arc<Stencil>>>>);

impl<K> Default for Stencils<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for Stencils<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Clone + Eq + Hash> Stencils<K> {
    /// The page that `sketch` describes, with these values. Where there is no stencil yet, `draw`
    /// makes one; `None` where it cannot.
    pub(super) fn fill(
        &self,
        sketch: &K,
        values: &Values,
        draw: impl FnOnce() -> Option<String>,
    ) -> Option<String> {
        let drawn = self.0.read().get(sketch).cloned();
        if let Some(stencil) = drawn {
            return Some(stencil.fill(values));
        }
        let stencil = Arc::new(Stencil::cut(&draw()?)?);
        let page = stencil.fill(values);
        let mut stencils = self.0.write();
        if stencils.len() < MAX_STENCILS {
            stencils.insert(sketch.clone(), stencil);
        }
        Some(page)
    }

    /// Forgets everything: the templates are others now.
    pub(super) fn clear(&self) {
        self.0.write().clear();
    }
}

/// A drawn page, cut at its marks.
#[derive(Debug)]
struct Stencil {
    head: String,
    /// Slots, and what follows each.
    parts: Vec<(usize, String)>,
}

impl Stencil {
    fn cut(drawn: &str) -> Option<Self> {
        let mut pieces = drawn.split(OPEN);
        let head = pieces.next()?.to_owned();
        let part = |piece: &str| {
            let (slot, after) = piece.split_once(CLOSE)?;
            Some((slot.parse().ok()?, after.to_owned()))
        };
        Some(Self { head, parts: pieces.map(part).collect::<Option<_>>()? })
    }

    fn fill(&self, values: &Values) -> String {
        let sizes = self.parts.iter().map(|(slot, after)| values.get(*slot).len() + after.len());
        let mut page = String::with_capacity(self.head.len() + sizes.sum::<usize>());
        page.push_str(&self.head);
        for (slot, after) in &self.parts {
            page.push_str(values.get(*slot));
            page.push_str(after);
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(slots: &[Slot]) -> String {
        slots
            .iter()
            .map(|slot| serde_json::to_value(slot).unwrap().as_str().unwrap().to_owned())
            .fold("<p>".to_owned(), |page, mark| page + &mark + ";")
    }

    #[test]
    fn a_sketch_is_drawn_once_and_filled_in_each_time() {
        let stencils = Stencils::default();
        let fill = |sketch: u8, text: &str, number: i64| {
            let mut values = Values::default();
            let slots = [values.put(text), values.put(number), Slot(0)];
            let mut draws = 0;
            let page = stencils.fill(&sketch, &values, || {
                draws += 1;
                Some(drawn(&slots))
            });
            (page.unwrap(), draws)
        };
        assert_eq!(fill(1, "one", 1), ("<p>one;1;one;".to_owned(), 1));
        assert_eq!(fill(1, "two", -2), ("<p>two;-2;two;".to_owned(), 0));
        assert_eq!(fill(2, "", 3), ("<p>;3;;".to_owned(), 1));
        stencils.clear();
        assert_eq!(fill(1, "x", 4), ("<p>x;4;x;".to_owned(), 1));
    }

    #[test]
    fn a_value_is_text_and_never_markup() {
        let mut values = Values::default();
        let slot = values.put("<b>&\"");
        let page = Stencils::default().fill(&(), &values, || Some(drawn(&[slot])));
        assert_eq!(page.unwrap(), "<p>&lt;b&gt;&amp;&quot;;");
    }

    #[test]
    fn a_page_that_cannot_be_drawn_leaves_no_stencil() {
        let stencils = Stencils::default();
        assert_eq!(stencils.fill(&(), &Values::default(), || None), None);
        assert!(stencils.0.read().is_empty());
    }
}
