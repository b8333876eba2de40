//! Pages that are rendered once, at launch, and filled in for each view.

use crate::view::{Value, Values};

/// The delimiters of a value's number: private-use characters, which no template contains.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

/// A rendered page, split where its values are.
pub(crate) struct Prebuilt {
    head: String,
    /// The index of each value, and the text after it.
    parts: Vec<(usize, String)>,
}

impl Prebuilt {
    /// What to render instead of the values.
    pub(crate) fn placeholders() -> Values {
        std::array::from_fn(|index| Value::Text(format!("{OPEN}{index}{CLOSE}")))
    }

    pub(crate) fn parse(rendered: &str) -> Self {
        let mut pieces = rendered.split(OPEN);
        let head = pieces.next().unwrap_or_default().to_owned();
        let part = |piece: &str| {
            let (index, after) = piece.split_once(CLOSE).expect("a placeholder is closed");
            (index.parse().expect("a placeholder is a number"), after.to_owned())
        };
        Self { head, parts: pieces.map(part).collect() }
    }

    pub(crate) fn fill(&self, values: &Values) -> String {
        // A value is a count or a time: 20 characters are the longest.
        let size = self.parts.iter().map(|(_, after)| after.len() + 20).sum::<usize>();
        let mut html = String::with_capacity(self.head.len() + size);
        html.push_str(&self.head);
        for (index, after) in &self.parts {
            values[*index].write_to(&mut html);
            html.push_str(after);
        }
        html
    }
}
