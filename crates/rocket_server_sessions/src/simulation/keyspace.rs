//! What the simulated Redis holds: keys with strings and hashes, and when they expire.

use std::collections::BTreeMap;
use std::rc::Rc;

/// A field's name and value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// A key's value. A hash keeps its fields in the order of their insertion, as small hashes do in
/// Redis, so that a run does not depend on random names.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(super) enum Data {
    Text(Vec<u8>),
    Hash(Vec<Field>),
}

impl Data {
    /// The value of a hash's field, as text.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let Self::Hash(fields) = self else { return None };
        let (_, value) = fields.iter().find(|(field, _)| field == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) data: Rc<Data>,
    /// In milliseconds of the server's clock.
    pub(super) expires: Option<u64>,
}

/// All keys, and the clock. A clone is a snapshot, and cheap.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub(super) struct Keyspace {
    keys: BTreeMap<Rc<[u8]>, Entry>,
    now: u64,
    /// Whether memory is full, so that commands that need more are refused.
    pub(super) is_full: bool,
}

/// The key holds a value of another type.
pub(super) struct WrongType;

impl Keyspace {
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Advances the clock, and removes expired keys.
    pub(super) fn advance(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        let now = self.now;
        self.keys.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.keys.iter().map(|(key, entry)| (&**key, entry))
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.keys.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.keys.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        self.keys.remove(key)
    }

    pub(super) fn insert(&mut self, key: &[u8], entry: Entry) {
        self.keys.insert(key.into(), entry);
    }

    pub(super) fn text(&self, key: &[u8]) -> Result<Option<&Vec<u8>>, WrongType> {
        match self.get(key).map(|entry| &*entry.data) {
            None => Ok(None),
            Some(Data::Text(text)) => Ok(Some(text)),
            Some(Data::Hash(_)) => Err(WrongType),
        }
    }

    /// The fields of a hash; none if there is no key.
    pub(super) fn hash(&self, key: &[u8]) -> Result<&[Field], WrongType> {
        match self.get(key).map(|entry| &*entry.data) {
            None => Ok(&[]),
            Some(Data::Hash(fields)) => Ok(fields),
            Some(Data::Text(_)) => Err(WrongType),
        }
    }

    pub(super) fn field(&self, key: &[u8], name: &[u8]) -> Result<Option<&Vec<u8>>, WrongType> {
        Ok(self.hash(key)?.iter().find(|(field, _)| field == name).map(|(_, value)| value))
    }

    /// Sets a field. Returns whether it is new.
    pub(super) fn set_field(
        &mut self,
        key: &[u8],
        name: &[u8],
        value: Vec<u8>,
    ) -> Result<bool, WrongType> {
        let new = || Entry { data: Rc::new(Data::Hash(Vec::new())), expires: None };
        let entry = self.keys.entry(key.into()).or_insert_with(new);
        let Data::Hash(fields) = Rc::make_mut(&mut entry.data) else { return Err(WrongType) };
        let held = fields.iter_mut().find(|(field, _)| field == name);
        let is_new = held.is_none();
        match held {
            Some((_, held)) => *held = value,
            None => fields.push((name.to_vec(), value)),
        }
        Ok(is_new)
    }

    /// Deletes a field, and the key with its last field. Returns whether the field existed.
    pub(super) fn remove_field(&mut self, key: &[u8], name: &[u8]) -> Result<bool, WrongType> {
        if self.field(key, name)?.is_none() {
            return Ok(false);
        }
        let entry = self.keys.get_mut(key).expect("it holds the field");
        let Data::Hash(fields) = Rc::make_mut(&mut entry.data) else { return Err(WrongType) };
        fields.retain(|(field, _)| field != name);
        if fields.is_empty() {
            self.keys.remove(key);
        }
        Ok(true)
    }
}
