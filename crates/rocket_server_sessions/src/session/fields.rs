//! The fields of a session.

use std::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Session;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::key::{Field, Key};
use crate::snapshot::Snapshot;
use crate::store::{Op, OpResult, Selection, Update};
use crate::value::{Integer, Value, decode, encode, increment, sum_of};

impl<'r> Session<'r> {
    /// Reads a field. `None` if it does not exist. One round trip, one command.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const NAME: Key<String> = Key::new("name");
    ///
    /// #[rocket::get("/name")]
    /// async fn name(session: Session<'_>) -> Result<String> {
    ///     Ok(session.get(NAME).await?.unwrap_or_else(|| "stranger".into()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`] if the value is not a `T`.
    pub async fn get<T: DeserializeOwned>(&self, field: impl Into<Field<T>>) -> Result<Option<T>> {
        let field = field.into();
        let fields = self.request.read(&[field.name()]).await?;
        let Some(text) = fields.get(field.name()) else { return Ok(None) };
        self.decode(&field, text)
    }

    /// Reads a field, or returns the type's default if it does not exist. One round trip, one
    /// command.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const TODOS: Key<Vec<String>> = Key::new("todos");
    ///
    /// #[rocket::get("/todos")]
    /// async fn todos(session: Session<'_>) -> Result<String> {
    ///     Ok(session.get_or_default(TODOS).await?.join("\n"))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The same as [`get`](Self::get).
    pub async fn get_or_default<T: DeserializeOwned + Default>(
        &self,
        field: impl Into<Field<T>>,
    ) -> Result<T> {
        self.get(field).await.map(Option::unwrap_or_default)
    }

    /// Returns `true` if a field exists. One round trip, one command.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const ADDRESS: Key<String> = Key::new("address");
    ///
    /// #[rocket::get("/checkout")]
    /// async fn checkout(session: Session<'_>) -> Result<&'static str> {
    ///     Ok(if session.contains_key(ADDRESS).await? { "pay" } else { "where to?" })
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Session`](#errors).
    pub async fn contains_key<T>(&self, field: impl Into<Field<T>>) -> Result<bool> {
        let field = field.into();
        Ok(self.request.read(&[field.name()]).await?.contains_key(field.name()))
    }

    fn decode<T: DeserializeOwned>(self, field: &Field<T>, text: &str) -> Result<Option<T>> {
        decode(field, text, |key| self.request.undecodable(key))
    }

    /// Reads all fields. One round trip, one command.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const NAME: Key<String> = Key::new("name");
    /// const VISITS: Key<i64> = Key::new("visits");
    ///
    /// #[rocket::get("/")]
    /// async fn index(session: Session<'_>) -> Result<String> {
    ///     let all = session.snapshot().await?;
    ///     Ok(format!("{:?} {:?}", all.get(NAME)?, all.get(VISITS)?))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Session`](#errors).
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let applied = self.request.run(Update::look(Selection::All)).await?;
        Ok(Snapshot::new(applied.fields, self.request))
    }

    /// Sets `field` to `value`: a `T`, a `&T`, a `&str` for a [`String`], or a slice for a [`Vec`].
    /// One round trip, three commands.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const NAME: Key<String> = Key::new("name");
    ///
    /// #[rocket::post("/name/<name>")]
    /// async fn rename(name: &str, session: Session<'_>) -> Result<()> {
    ///     session.insert(NAME, name).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Serialize`] if `value` cannot be serialized, and [`Error::TooLarge`] if a limit is
    /// exceeded. In both cases, nothing was changed.
    pub async fn insert<T>(&self, field: impl Into<Field<T>>, value: impl Value<T>) -> Result<()> {
        let field = field.into();
        let op = Op::Insert(field.name().to_owned(), encode(&field, value)?);
        let max_size = Some(self.request.shared.config.max_record_size);
        let update = Update { ops: vec![op], read: Selection::Some(vec![]), max_size };
        self.request.run(update).await.map(drop)
    }

    /// Changes a value in place: reads it, calls `change`, and writes it back if no other request
    /// has changed the field meanwhile. Otherwise tries again with the new value, so no concurrent
    /// update is lost. A missing field starts as `T::default()`. Returns what `change` returned.
    ///
    /// `change` may run several times, so it should do nothing but change the value. If it leaves
    /// the value as it was, nothing is written.
    ///
    /// Two round trips, four commands; one round trip and one command if the value stays the same.
    /// One more round trip for each time that another request changed the field first. Use
    /// [`increment`](Self::increment) for counters, and a [family](crate::Key::at) of fields for
    /// values that change independently: each takes one round trip.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const TODOS: Key<Vec<String>> = Key::new("todos");
    ///
    /// #[rocket::post("/todos/<text>")]
    /// async fn add(text: &str, session: Session<'_>) -> Result<()> {
    ///     session.update(TODOS, |list| list.push(text.to_owned())).await
    /// }
    ///
    /// #[rocket::delete("/todos/<at>")]
    /// async fn remove(at: usize, session: Session<'_>) -> Result<Option<String>> {
    ///     session.update(TODOS, |list| (at < list.len()).then(|| list.remove(at))).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The same as [`get`](Self::get) and [`insert`](Self::insert).
    /// [`Error::OutcomeUnknown`] if other requests kept changing the field until the deadline.
    pub async fn update<T, R>(
        &self,
        field: impl Into<Field<T>>,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<R>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        let field = field.into();
        let change = |text: Option<&str>| {
            let mut value = match text {
                Some(text) => self.decode(&field, text)?.unwrap_or_default(),
                None => T::default(),
            };
            let before = encode(&field, &value)?;
            let result = change(&mut value);
            let after = encode(&field, &value)?;
            Ok(((after != before).then_some(after), result))
        };
        self.request.exchange(field.name(), change).await
    }

    /// Adds `by` to `field` and returns the sum. A missing field counts as 0. Atomic: concurrent
    /// increments are never lost. The key may have any [integer type](Integer).
    ///
    /// One round trip; two commands for a `Key<i64>`, and three for the other types, whose range
    /// the store checks. The size of the whole session is not checked: if the field's name comes
    /// from a visitor, count in a [`batch`](Self::batch), which checks it.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const VIEWS: Key<u32> = Key::new("views");
    ///
    /// #[rocket::get("/")]
    /// async fn index(session: Session<'_>) -> Result<String> {
    ///     Ok(session.increment(VIEWS, 1).await?.to_string())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotAnInteger`] if the field is not an integer, and [`Error::OutOfRange`] if the sum
    /// does not fit into a `T`; the field is not changed. After [`Error::OutcomeUnknown`], the
    /// field may have been incremented once.
    ///
    /// If a visitor can reach the end of the range, handle the error yourself, because its status
    /// is 500:
    ///
    /// ```
    /// # use rocket::http::Status;
    /// # use rocket_server_sessions::{Error, Key, Session};
    /// const CART: Key<u32> = Key::new("cart");
    ///
    /// #[rocket::post("/cart/<item>/less")]
    /// async fn less(item: &str, session: Session<'_>) -> Result<String, Status> {
    ///     match session.increment(CART.at(item), -1).await {
    ///         Ok(left) => Ok(left.to_string()),
    ///         Err(Error::OutOfRange { .. }) => Err(Status::UnprocessableEntity),
    ///         Err(error) => Err(error.status()),
    ///     }
    /// }
    /// ```
    pub async fn increment<T: Integer>(&self, field: impl Into<Field<T>>, by: i64) -> Result<T> {
        let op = increment::<T>(field, by);
        let field = op.field().to_owned();
        let result = self.change(op).await?.unwrap_or(OpResult::NotAnInteger);
        let sum = sum_of(&field, &result, type_name::<T>())?;
        sum.and_then(|sum| T::try_from(sum).ok()).ok_or(Error::NotAnInteger { field })
    }

    /// Deletes `field`. One round trip, two commands.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const CART: Key<u32> = Key::new("cart");
    ///
    /// #[rocket::post("/cart/remove/<item>")]
    /// async fn remove(item: &str, session: Session<'_>) -> Result<()> {
    ///     session.remove(CART.at(item)).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Session`](#errors).
    pub async fn remove<T>(&self, field: impl Into<Field<T>>) -> Result<()> {
        self.change(Op::Remove(field.into().into_name())).await.map(drop)
    }

    /// Deletes all items of a family: reads all fields, and then deletes the items that it has
    /// found, all at once. The key's own field stays.
    ///
    /// An item that another request adds in between stays. An item that another request changes in
    /// between is deleted.
    ///
    /// Two round trips: one command, and then two commands plus one for each item. One round trip
    /// if there are no items.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const CART: Key<u32> = Key::new("cart");
    ///
    /// #[rocket::post("/cart/empty")]
    /// async fn empty(session: Session<'_>) -> Result<()> {
    ///     session.remove_items(CART).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::TooManyChanges`] for more than 10,000 items. Nothing was changed.
    pub async fn remove_items<T>(&self, family: Key<T>) -> Result<()> {
        self.request.remove_all(&family.family()).await
    }

    /// Atomically reads and deletes a field, for example a flash message. One round trip, three
    /// commands.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const NOTICE: Key<String> = Key::new("notice");
    ///
    /// #[rocket::get("/notice")]
    /// async fn notice(session: Session<'_>) -> Result<Option<String>> {
    ///     session.take(NOTICE).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Deserialize`] if the value is not a `T`. The field is deleted nevertheless.
    pub async fn take<T: DeserializeOwned>(&self, field: impl Into<Field<T>>) -> Result<Option<T>> {
        let field = field.into();
        match self.change(Op::Take(field.name().to_owned())).await? {
            Some(OpResult::Taken(Some(text))) => self.decode(&field, &text),
            _ => Ok(None),
        }
    }

    /// Deletes all fields of the application. The session, its cookie and its log-in stay. One
    /// round trip, three commands.
    ///
    /// ```
    /// # use rocket_server_sessions::{Result, Session};
    /// #[rocket::post("/reset")]
    /// async fn reset(session: Session<'_>) -> Result<()> {
    ///     session.clear().await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Session`](#errors).
    pub async fn clear(&self) -> Result<()> {
        self.change(Op::Clear).await.map(drop)
    }

    async fn change(&self, op: Op) -> Result<Option<OpResult>> {
        let update = Update { ops: vec![op], read: Selection::Some(vec![]), max_size: None };
        Ok(self.request.run(update).await?.results.pop())
    }

    /// Starts a batch of changes, which are sent in one round trip.
    ///
    /// ```
    /// # use rocket_server_sessions::{Key, Result, Session};
    /// const VIEWS: Key<i64> = Key::new("views");
    /// const LAST: Key<String> = Key::new("last");
    ///
    /// #[rocket::get("/<page>")]
    /// async fn page(page: String, session: Session<'_>) -> Result<String> {
    ///     let batch = session.batch().increment(VIEWS.at(&page), 1).insert(LAST, &page);
    ///     Ok(format!("{:?}", batch.commit().await?.get(VIEWS.at(&page))?))
    /// }
    /// ```
    #[must_use = "a batch does nothing until it is committed"]
    pub fn batch(&self) -> Batch<'r> {
        Batch::new(self.request)
    }
}
