//! Changes to a record, and their results.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use super::record::{Death, Values, is_reserved, size};

/// One change of a record.
///
/// Later releases may add others. [`Update::apply`] handles all of them. A store that translates
/// changes itself, for example to SQL, must refuse those that it does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Sets a field to a JSON text.
    Insert(String, String),
    /// Adds to a field that holds an integer. A missing field counts as 0.
    Increment {
        /// The field.
        field: String,
        /// What is added.
        by: i64,
        /// The range of the sum. If the sum is outside it, the field keeps its value.
        range: RangeInclusive<i64>,
    },
    /// Deletes a field.
    Remove(String),
    /// Reads a field and deletes it.
    Take(String),
    /// Deletes all fields, except those whose names begin with `@`.
    Clear,
    /// Sets a field to a JSON text if it still holds what was read.
    CompareExchange {
        /// The field.
        field: String,
        /// The text that it must hold, exactly. `None` if it must not exist.
        current: Option<String>,
        /// The JSON text to set.
        new: String,
    },
}

impl Op {
    /// The field that it changes; empty if it changes all.
    pub(crate) fn field(&self) -> &str {
        match self {
            Self::Insert(name, _)
            | Self::Increment { field: name, .. }
            | Self::Remove(name)
            | Self::Take(name)
            | Self::CompareExchange { field: name, .. } => name,
            Self::Clear => "",
        }
    }

    /// Makes the change to fields in memory.
    pub(crate) fn apply(&self, fields: &mut Values) -> OpResult {
        match self {
            Self::Insert(name, value) => {
                fields.insert(name.clone(), value.clone());
                OpResult::Done
            }
            Self::Increment { field, by, range } => {
                let Some(held) = fields.get(field).map_or(Some(0), |text| integer(text)) else {
                    return OpResult::NotAnInteger;
                };
                let Some(sum) = held.checked_add(*by).filter(|sum| range.contains(sum)) else {
                    return OpResult::OutOfRange;
                };
                fields.insert(field.clone(), sum.to_string());
                OpResult::Count(sum)
            }
            Self::Remove(name) => {
                fields.remove(name);
                OpResult::Done
            }
            Self::Take(name) => OpResult::Taken(fields.remove(name)),
            Self::Clear => {
                fields.retain(|name, _| is_reserved(name));
                OpResult::Done
            }
            Self::CompareExchange { field, current, new } => {
                let held = fields.get(field);
                if held != current.as_ref() {
                    return OpResult::Changed(held.cloned());
                }
                fields.insert(field.clone(), new.clone());
                OpResult::Done
            }
        }
    }
}

/// Parses an integer like Redis, which rejects `+1` and `01`.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// The result of one [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpResult {
    /// The operation was applied.
    Done,
    /// The field's value after an increment.
    Count(i64),
    /// The increment was refused: the field is not an integer.
    NotAnInteger,
    /// The increment was refused: the sum is not in its range, or does not fit into 64 bits.
    OutOfRange,
    /// The value of a taken field, if it existed.
    Taken(Option<String>),
    /// The compare-exchange was not applied: the field holds this text, or does not exist.
    Changed(Option<String>),
}

/// Which fields an [`Update`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The named fields.
    Some(Vec<String>),
    /// All fields.
    All,
}

/// Changes to a record, and the fields to read afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Update {
    /// The changes, in order. Either all of them are attempted or none is.
    pub ops: Vec<Op>,
    /// What to read after the changes.
    pub read: Selection,
    /// The maximum size of the record: the bytes of its names and values, without the fields whose
    /// names begin with `@`. If an insert or a new field would make the record larger, the whole
    /// update is rejected with [`UpdateResult::TooLarge`]. `None` disables the check.
    pub max_size: Option<usize>,
}

impl Update {
    /// Changes a record without a size limit.
    #[must_use]
    pub fn new(ops: Vec<Op>, read: Selection) -> Self {
        Self { ops, read, max_size: None }
    }

    /// Applies the update to the fields of a live record in memory, with its limit. `seen` becomes
    /// [`Applied::seen`].
    ///
    /// For stores that hold a lock or a transaction during each call.
    pub fn apply(&self, fields: &mut Values, seen: Option<SystemTime>) -> UpdateResult {
        let mut new = fields.clone();
        let results: Vec<_> = self.ops.iter().map(|op| op.apply(&mut new)).collect();
        let grows = self.ops.iter().zip(&results).any(|(op, result)| match op {
            Op::Insert(..) => true,
            Op::CompareExchange { .. } => *result == OpResult::Done,
            Op::Increment { field, .. } => {
                matches!(result, OpResult::Count(_)) && !fields.contains_key(field)
            }
            Op::Remove(_) | Op::Take(_) | Op::Clear => false,
        });
        let size = size(&new);
        if grows && self.max_size.is_some_and(|limit| size > limit) {
            return UpdateResult::TooLarge(size);
        }
        *fields = new;
        let own = |name: &String| Some((name.clone(), fields.get(name)?.clone()));
        let fields = match &self.read {
            Selection::Some(names) => names.iter().filter_map(own).collect(),
            Selection::All => fields.clone(),
        };
        UpdateResult::Applied(Applied { results, fields, seen })
    }

    /// An update that only reads.
    pub(crate) fn look(read: Selection) -> Self {
        Self::new(Vec::new(), read)
    }
}

/// The result of an update of a live record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// One for each [`Op`], in order.
    pub results: Vec<OpResult>,
    /// The fields that were read, without the marker and the time of the last touch.
    pub fields: Values,
    /// The time that a [`touch`](super::Store::touch) or a [`rotate`](super::Store::rotate) last
    /// stored, to the second. `None` if none has been stored since the record was created.
    pub seen: Option<SystemTime>,
}

impl Applied {
    /// The result of an update.
    #[must_use]
    pub fn new(results: Vec<OpResult>, fields: Values, seen: Option<SystemTime>) -> Self {
        Self { results, fields, seen }
    }
}

/// The result of an [`Update`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateResult {
    /// The record is live, and the update was applied.
    Applied(Applied),
    /// The update was applied, and then another call made the token dead, before the fields were
    /// read. Only for stores that cannot do both at once.
    Late(Applied),
    /// The record would exceed the limit. Contains the size that it would have. Nothing was
    /// changed.
    TooLarge(usize),
    /// The token is dead. Nothing was changed.
    Dead(Death),
    /// There is no such record. Nothing was changed or created.
    Gone,
}
