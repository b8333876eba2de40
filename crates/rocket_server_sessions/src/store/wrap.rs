//! Stores that wrap another store, and see each of its calls.

use std::sync::Arc;
use std::time::Duration;

use super::contract::Store;
use super::error::StoreError;
use super::record::{RecordId, Values};
use super::rotation::Rotation;
use super::time_to_live::TimeToLive;
use super::update::Update;
use crate::id::PublicId;

/// A store that passes each call on to another. Every call goes through [`around`](Self::around).
pub trait Wrap: Send + Sync + 'static {
    /// The other store.
    type Store: Store + ?Sized;

    fn wrapped(&self) -> &Self::Store;

    /// Runs a call, or returns an error without running it.
    fn around<T: Send>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;
}

/// A call of a [`Store`].
#[derive(Clone, Copy, Debug)]
pub enum Call<'c> {
    Create(RecordId, &'c Values, Duration),
    Update(RecordId, &'c Update),
    Touch(RecordId, TimeToLive),
    Rotate(&'c Rotation),
    Destroy(RecordId),
    Settle(RecordId),
    Status(&'c [RecordId]),
    IndexAdd(RecordId),
    Index,
    IndexRemove(&'c [RecordId]),
}

impl Call<'_> {
    /// The public id of the session that it is about, if there is only one.
    pub(super) fn id(&self) -> Option<PublicId> {
        match self {
            Self::Create(record, ..)
            | Self::Update(record, _)
            | Self::Touch(record, _)
            | Self::Destroy(record)
            | Self::Settle(record)
            | Self::IndexAdd(record) => Some(record.id),
            Self::Rotate(rotation) => Some(rotation.from.id),
            Self::Status(_) | Self::Index | Self::IndexRemove(_) => None,
        }
    }
}

impl<S: Store + ?Sized> Wrap for Arc<S> {
    type Store = S;

    fn wrapped(&self) -> &S {
        self
    }

    fn around<T: Send>(
        &self,
        _: Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        work
    }
}

/// Implements `Store` for a type that wraps a store. A blanket implementation would make [`Wrap`]
/// public, and would exclude all other implementations.
macro_rules! store_by_wrapping {
    ($type:ty $(, $parameter:ident: $($bound:tt)+)?) => {
        const _: () = {
            use std::time::{Duration, SystemTime};

            use $crate::store::{
                Call, DestroyResult, IndexEntry, RecordId, RecordStatus, RotateResult, Rotation,
                Store, StoreError, TimeToLive, Update, UpdateResult, Values, Wrap,
            };

            #[rocket::async_trait]
            impl$(<$parameter: $($bound)+>)? Store for $type {
                fn name(&self) -> &'static str {
                    self.wrapped().name()
                }

                fn is_shared(&self) -> bool {
                    self.wrapped().is_shared()
                }

                async fn create(
                    &self,
                    record: RecordId,
                    fields: &Values,
                    ttl: Duration,
                ) -> Result<bool, StoreError> {
                    let work = self.wrapped().create(record, fields, ttl);
                    self.around(Call::Create(record, fields, ttl), work).await
                }

                async fn update(
                    &self,
                    record: RecordId,
                    update: &Update,
                ) -> Result<UpdateResult, StoreError> {
                    let work = self.wrapped().update(record, update);
                    self.around(Call::Update(record, update), work).await
                }

                async fn touch(
                    &self,
                    record: RecordId,
                    seen: SystemTime,
                    ttl: TimeToLive,
                ) -> Result<(), StoreError> {
                    let work = self.wrapped().touch(record, seen, ttl);
                    self.around(Call::Touch(record, ttl), work).await
                }

                async fn rotate(&self, rotation: &Rotation) -> Result<RotateResult, StoreError> {
                    self.around(Call::Rotate(rotation), self.wrapped().rotate(rotation)).await
                }

                async fn destroy(
                    &self,
                    record: RecordId,
                    user: Option<&str>,
                ) -> Result<DestroyResult, StoreError> {
                    self.around(Call::Destroy(record), self.wrapped().destroy(record, user)).await
                }

                async fn settle(&self, record: RecordId) -> Result<bool, StoreError> {
                    self.around(Call::Settle(record), self.wrapped().settle(record)).await
                }

                async fn status(
                    &self,
                    records: &[RecordId],
                ) -> Result<Vec<RecordStatus>, StoreError> {
                    self.around(Call::Status(records), self.wrapped().status(records)).await
                }

                async fn index_add(
                    &self,
                    user: &str,
                    entry: IndexEntry,
                    ttl: Duration,
                ) -> Result<Vec<IndexEntry>, StoreError> {
                    let call = Call::IndexAdd(entry.record);
                    self.around(call, self.wrapped().index_add(user, entry, ttl)).await
                }

                async fn index(&self, user: &str) -> Result<Vec<IndexEntry>, StoreError> {
                    self.around(Call::Index, self.wrapped().index(user)).await
                }

                async fn index_remove(
                    &self,
                    user: &str,
                    records: &[RecordId],
                ) -> Result<(), StoreError> {
                    let work = self.wrapped().index_remove(user, records);
                    self.around(Call::IndexRemove(records), work).await
                }
            }
        };
    };
}

pub(crate) use store_by_wrapping;

store_by_wrapping!(Arc<S>, S: Store + ?Sized);
