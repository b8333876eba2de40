//! A step of a handler, and its result.

/// One thing that a handler does with its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A batch of one increment, which returns all fields.
    View,
    Increment,
    Get,
    Insert,
    /// The note that a session begins with.
    InsertFirst,
    InsertTooLarge,
    /// Appends to the note with `update`.
    Update,
    Take,
    Remove,
    /// Two increments in one batch.
    Batch,
    /// An increment of a narrow type, whose sum fits only once.
    Small,
    Clear,
    Snapshot,
    User,
    Regenerate,
    LogIn(&'static str),
    /// The same, with a note.
    LogInWith(&'static str),
    Destroy,
    DestroyAll(&'static str),
    DestroyOthers(&'static str),
    List(&'static str),
    Remember,
    /// With a duration, so that the session gets an idle timeout of its own.
    RememberFor,
    /// The handler does something else for this many seconds.
    Wait(u64),
    /// The handler answers, and leaves the steps that follow to a task.
    Spawn,
}

/// The outcome of a step, as the handler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done(Answer),
    Conflict,
    TooLarge,
    /// Nothing was changed.
    Unavailable,
    /// The change may have been made.
    Unknown,
    /// The handler has stopped waiting.
    GivenUp,
    /// An error that an application should never get.
    Fault(String),
}

/// What a successful step has returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Nothing,
    Count(i64),
    Text(Option<String>),
    /// All fields: views, left, right, small and note.
    Fields([Option<i64>; 4], Option<String>),
    Sessions(Vec<String>),
}

impl Step {
    pub(super) fn user_to_log_in(self) -> Option<&'static str> {
        match self {
            Self::LogIn(user) | Self::LogInWith(user) => Some(user),
            _ => None,
        }
    }

    /// What this step of a request inserts.
    pub(super) fn note(self, (request, step): (usize, usize)) -> String {
        match self {
            Self::InsertFirst => "first note".to_owned(),
            _ => format!("note {step} of {request}"),
        }
    }
}
