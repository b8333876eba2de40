//! Values of fields: what can be inserted, counted, and read back.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::key::Field;
use crate::store::{Op, OpResult, Values};

/// A value for a field of type `T`: a `T`, a `&T`, a `&str` for a [`String`], or a slice for a
/// [`Vec`].
///
/// ```
/// # use rocket_server_sessions::{Key, Result, Session};
/// const NAME: Key<String> = Key::new("name");
/// const TAGS: Key<Vec<u8>> = Key::new("tags");
///
/// # async fn run(session: Session<'_>, name: String) -> Result<()> {
/// session.insert(NAME, "Alice").await?;
/// session.insert(NAME, &name).await?;
/// session.insert(NAME, format!("{name}!")).await?;
/// session.insert(TAGS, vec![]).await
/// # }
/// ```
///
/// ```compile_fail,E0277
/// # use rocket_server_sessions::{Key, Result, Session};
/// # const NAME: Key<String> = Key::new("name");
/// # async fn run(session: Session<'_>) -> Result<()> {
/// session.insert(NAME, 1).await // a session field of type `String` cannot hold a value of type …
/// # }
/// ```
pub trait Value<T>: sealed::Value<T> {}

impl<T, V: sealed::Value<T>> Value<T> for V {}

/// An integer type that [`increment`](crate::Session::increment) can count in: any with up to 64
/// bits.
///
/// The store adds 64-bit signed integers. A sum that the type cannot hold is an error.
///
/// ```compile_fail,E0277
/// # use rocket_server_sessions::{Key, Result, Session};
/// const NAME: Key<String> = Key::new("name");
///
/// # async fn run(session: Session<'_>) -> Result<()> {
/// session.increment(NAME, 1).await?; // a session field of type `String` cannot be incremented
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "a session field of type `{Self}` cannot be incremented",
    label = "not an integer type",
    note = "declare the key with an integer type of up to 64 bits, such as `Key<i64>` or \
            `Key<u32>`; change other values with `update`"
)]
pub trait Integer: TryFrom<i64> + sealed::Integer {}

mod sealed {
    use serde::Serialize;

    #[diagnostic::on_unimplemented(
        message = "a session field of type `{T}` cannot hold a value of type `{Self}`",
        label = "expected a `{T}` or a reference to one",
        note = "the key's type says what the field holds; convert the value, or declare another key"
    )]
    pub trait Value<T> {
        fn to_json(self) -> serde_json::Result<String>;
    }

    impl<T: Serialize> Value<T> for T {
        fn to_json(self) -> serde_json::Result<String> {
            serde_json::to_string(&self)
        }
    }

    impl<T: Serialize> Value<T> for &T {
        fn to_json(self) -> serde_json::Result<String> {
            serde_json::to_string(&self)
        }
    }

    impl Value<String> for &str {
        fn to_json(self) -> serde_json::Result<String> {
            serde_json::to_string(&self)
        }
    }

    impl<T: Serialize> Value<Vec<T>> for &[T] {
        fn to_json(self) -> serde_json::Result<String> {
            serde_json::to_string(&self)
        }
    }

    pub trait Integer: TryInto<i64> {
        const MIN: Self;
        const MAX: Self;
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl sealed::Integer for $integer {
            const MIN: Self = <$integer>::MIN;
            const MAX: Self = <$integer>::MAX;
        }
        impl Integer for $integer {}
    )*};
}

integers!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

/// The change that adds to a field of type `T`. The sum must fit into the type.
pub(crate) fn increment<T: Integer>(field: impl Into<Field<T>>, by: i64) -> Op {
    let min = T::MIN.try_into().unwrap_or(i64::MIN);
    let max = T::MAX.try_into().unwrap_or(i64::MAX);
    Op::Increment { field: field.into().into_name(), by, range: min..=max }
}

/// The sum of an increment of a field of type `integer`. `None` for the result of another change.
pub(crate) fn sum_of(field: &str, result: &OpResult, integer: &'static str) -> Result<Option<i64>> {
    let field = || field.to_owned();
    match *result {
        OpResult::Count(sum) => Ok(Some(sum)),
        OpResult::NotAnInteger => Err(Error::NotAnInteger { field: field() }),
        OpResult::OutOfRange => Err(Error::OutOfRange { field: field(), integer }),
        _ => Ok(None),
    }
}

/// The field's text for a value.
pub(crate) fn encode<T>(field: &Field<T>, value: impl Value<T>) -> Result<String> {
    let name = || field.name().to_owned();
    value.to_json().map_err(|source| Error::Serialize { field: name(), source })
}

/// Adds a field to those that a chain of calls collects. The first error ends the chain.
pub(crate) fn insert<T>(
    fields: Result<Values>,
    field: Field<T>,
    value: impl Value<T>,
) -> Result<Values> {
    let text = encode(&field, value);
    let mut fields = fields?;
    fields.insert(field.into_name(), text?);
    Ok(fields)
}

/// Reads a field's text. A lenient field that cannot be decoded counts as missing; its key is
/// reported.
pub(crate) fn decode<T: DeserializeOwned>(
    field: &Field<T>,
    text: &str,
    report: impl FnOnce(&'static str),
) -> Result<Option<T>> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(Some(value)),
        Err(_) if field.is_lenient() => {
            report(field.key());
            Ok(None)
        }
        Err(source) => Err(Error::Deserialize { field: field.name().to_owned(), source }),
    }
}
