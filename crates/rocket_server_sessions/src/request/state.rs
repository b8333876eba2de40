//! The state machine of a request's session.
//!
//! | state | meaning | a read | a write | the response's cookie |
//! |---|---|---|---|---|
//! | `None` | no valid cookie | nothing, no round trip | creates: `Unsettled`, `Issued` | kept |
//! | `Presented` | a valid cookie; the store was not asked | asks | asks | kept |
//! | `Confirmed` | the store found the record live | asks | asks | kept, or sent again |
//! | `Issued` | this request created the token | asks | asks | set |
//! | `Destroyed` | this request destroyed the session | nothing, no round trip | creates | cleared |
//! | `Dead` | the cookie's token is dead | nothing, no round trip | conflict | kept |
//! | `Lost` | was live, then found dead or gone | conflict | conflict | kept |
//! | `Unsettled` | a new token was sent, and the answer is missing | settles first | settles first | settled first |
//!
//! | what happens | from | to |
//! |---|---|---|
//! | the store finds the record live | `Presented`, `Confirmed` | `Confirmed` |
//! | | `Issued` | `Issued` |
//! | the store finds a tombstone | `Presented` | `Dead` |
//! | | `Confirmed`, `Issued` | `Lost` |
//! | a read finds nothing | `Presented` | `Presented` (a replica may lag), or `Dead` if the request has run for 15 s or more |
//! | | `Confirmed`, `Issued` | `Lost` |
//! | a write finds nothing | `Presented` | `None`, or `Dead` if the request has run for 15 s or more |
//! | | `Confirmed`, `Issued` | `Lost` |
//! | a new token is sent (create, regenerate, log in) | any | `Unsettled` |
//! | … and the store has it | `Unsettled` | `Issued` |
//! | … and the store never will | `Unsettled` | the state before |
//! | the record is destroyed by this request | any | `Destroyed` |
//!
//! A request stays in one session. After the store has answered, only the request itself can change
//! it: by `regenerate`, `log_in` or `destroy`. So nothing that was read in one session is written
//! into another.
//!
//! A replaced token is dead immediately. While its tombstone exists, the browser has or is about to
//! get a newer cookie, so a request that presents the old token writes nothing and sets no cookie.

use std::mem;
use std::time::{Duration, SystemTime};

use rocket::tokio::time::Instant;

use crate::event::Event;
use crate::session_cookie::CookieValue;
use crate::store::{Death, RecordId};

/// Cookies that are renewed or removed are only sent within this time after the store's last
/// answer, because the browser may have a newer one later.
const FRESH: Duration = Duration::from_secs(5);

/// A session, as known to a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Identity {
    pub(crate) value: CookieValue,
    pub(crate) record: RecordId,
    /// Whether the browser has sent the cookie back.
    pub(crate) has_returned: bool,
    /// When the record's time to live was last set, and when it ends, if known.
    pub(crate) seen: Option<Seen>,
}

/// When a record was last seen, and when it expires unless it is seen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) at: SystemTime,
    pub(crate) expiry: SystemTime,
}

impl Identity {
    /// A new session.
    pub(crate) fn new(value: CookieValue) -> Self {
        let record = value.record();
        Self { value, record, has_returned: false, seen: None }
    }

    /// The session of a cookie that the browser sent.
    pub(crate) fn presented(value: CookieValue) -> Self {
        Self { has_returned: true, ..Self::new(value) }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    None,
    Presented(Identity),
    Confirmed {
        identity: Identity,
        at: Instant,
    },
    Issued(Identity),
    Destroyed {
        at: Instant,
    },
    Dead(Death),
    /// The reason, if known.
    Lost(Option<Death>),
    Unsettled {
        before: Box<State>,
        pending: Identity,
        event: Event,
    },
}

/// What an operation does next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// Ask the store about this session.
    Ask(Identity),
    /// Return nothing, without a round trip.
    FindNothing,
    /// Create a session.
    Create,
    /// Find out whether the store has the new token.
    Settle,
    /// Fail: the session has changed.
    Conflict,
}

/// What the response does to the browser's cookie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CookieChange {
    Keep,
    Set(CookieValue),
    Clear,
}

impl State {
    /// The request's current identity, if any.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Presented(identity)
            | Self::Confirmed { identity, .. }
            | Self::Issued(identity) => Some(identity),
            Self::Unsettled { before, .. } => before.identity(),
            Self::None | Self::Destroyed { .. } | Self::Dead(_) | Self::Lost(_) => None,
        }
    }

    fn identity_mut(&mut self, record: RecordId) -> Option<&mut Identity> {
        match self {
            Self::Presented(identity)
            | Self::Confirmed { identity, .. }
            | Self::Issued(identity) => Some(identity).filter(|it| it.record == record),
            _ => None,
        }
    }

    /// Whether the identity is pinned: the store has answered for it, so no other may replace it.
    pub(crate) fn is_pinned(&self) -> bool {
        !matches!(self, Self::None | Self::Presented(_))
    }

    /// Whether the session is unsettled or lost.
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self, Self::Unsettled { .. } | Self::Lost(_))
    }

    pub(crate) fn next(&self, is_read: bool) -> Next {
        match self {
            Self::Presented(identity)
            | Self::Confirmed { identity, .. }
            | Self::Issued(identity) => Next::Ask(identity.clone()),
            Self::Unsettled { .. } => Next::Settle,
            Self::None | Self::Destroyed { .. } | Self::Dead(_) if is_read => Next::FindNothing,
            Self::None | Self::Destroyed { .. } => Next::Create,
            Self::Dead(_) | Self::Lost(_) => Next::Conflict,
        }
    }

    /// The store has found the record live.
    pub(crate) fn applied(&mut self, record: RecordId, at: Instant) {
        if let Self::Unsettled { before, .. } = self {
            return before.applied(record, at);
        }
        if self.identity_mut(record).is_none() {
            return;
        }
        *self = match mem::replace(self, Self::None) {
            Self::Presented(identity) | Self::Confirmed { identity, .. } => {
                Self::Confirmed { identity, at }
            }
            other => other,
        };
    }

    /// Notes when the record was last seen.
    pub(crate) fn note_seen(&mut self, record: RecordId, seen: Seen) {
        if let Some(identity) = self.identity_mut(record) {
            identity.seen = Some(seen);
        }
    }

    /// Whether the store has found the session live.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Confirmed { .. } | Self::Issued(_))
    }

    /// Sets whether the cookie is persistent. Returns `false` if there is no session that the store
    /// has found live.
    pub(crate) fn remember(&mut self, is_remembered: bool) -> bool {
        match self {
            Self::Confirmed { identity, .. } | Self::Issued(identity) => {
                identity.value.is_remembered = is_remembered;
                true
            }
            _ => false,
        }
    }

    /// The store has found a tombstone. Returns `false` if the request's session has changed since
    /// it asked.
    pub(crate) fn dead(&mut self, record: RecordId, death: Death) -> bool {
        let next = match self {
            Self::Presented(_) => Self::Dead(death),
            _ => Self::Lost(Some(death)),
        };
        let is_meant = self.identity_mut(record).is_some();
        if is_meant {
            *self = next;
        }
        is_meant
    }

    /// The store has found nothing. `is_old`: the request has run for so long that a tombstone may
    /// have expired. Returns `false` if the request's session has changed since it asked.
    pub(crate) fn gone(&mut self, record: RecordId, is_read: bool, is_old: bool) -> bool {
        let next = match self {
            Self::Presented(_) if is_old => Self::Dead(Death::Rotated),
            Self::Presented(identity) if is_read => Self::Presented(identity.clone()),
            Self::Presented(_) => Self::None,
            _ => Self::Lost(None),
        };
        let is_meant = self.identity_mut(record).is_some();
        if is_meant {
            *self = next;
        }
        is_meant
    }

    /// Marks the session as lost: it expired during the request, or it may have a new token that
    /// could not be settled before the headers are sent.
    pub(crate) fn lost(&mut self) {
        *self = Self::Lost(None);
    }

    /// Starts a change that sends a new token. `event` is emitted when it succeeds.
    pub(crate) fn begin(&mut self, pending: Identity, event: Event) {
        let before = Box::new(mem::replace(self, Self::None));
        *self = Self::Unsettled { before, pending, event };
    }

    /// The store has the new token.
    pub(crate) fn settled(&mut self) -> Option<Event> {
        match mem::replace(self, Self::None) {
            Self::Unsettled { pending, event, .. } => {
                *self = Self::Issued(pending);
                Some(event)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// The store does not have the new token, and never will.
    pub(crate) fn abandoned(&mut self) {
        *self = match mem::replace(self, Self::None) {
            Self::Unsettled { before, .. } => *before,
            other => other,
        };
    }

    /// The request has destroyed its session.
    pub(crate) fn destroyed(&mut self, at: Instant) {
        *self = Self::Destroyed { at };
    }

    /// What the response does to the cookie. `is_repeated`: send the cookie again with the same
    /// token.
    pub(crate) fn cookie(&self, is_repeated: bool, now: Instant) -> CookieChange {
        let is_fresh = |at: &Instant| now.duration_since(*at) <= FRESH;
        match self {
            Self::Issued(identity) => CookieChange::Set(identity.value.clone()),
            Self::Confirmed { identity, at } if is_repeated && is_fresh(at) => {
                CookieChange::Set(identity.value.clone())
            }
            Self::Destroyed { at } if is_fresh(at) => CookieChange::Clear,
            _ => CookieChange::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PublicId, Token};

    fn identity() -> Identity {
        Identity::new(CookieValue {
            id: PublicId::new(SystemTime::now()),
            token: Token::generate(),
            is_remembered: true,
            has_user: false,
        })
    }

    fn confirmed(identity: &Identity) -> State {
        State::Confirmed { identity: identity.clone(), at: Instant::now() }
    }

    /// Every state, about one session.
    fn all(identity: &Identity) -> Vec<State> {
        let unsettled = |before: State| State::Unsettled {
            before: Box::new(before),
            pending: self::identity(),
            event: Event::Created(identity.record.id),
        };
        vec![
            State::None,
            State::Presented(identity.clone()),
            confirmed(identity),
            State::Issued(identity.clone()),
            State::Destroyed { at: Instant::now() },
            State::Dead(Death::Destroyed),
            State::Dead(Death::Rotated),
            State::Lost(None),
            State::Lost(Some(Death::Rotated)),
            unsettled(State::None),
            unsettled(State::Presented(identity.clone())),
        ]
    }

    fn after(state: &State, change: impl FnOnce(&mut State)) -> State {
        let mut state = state.clone();
        change(&mut state);
        state
    }

    #[test]
    fn only_a_session_that_may_live_is_asked_about() {
        let identity = identity();
        for state in all(&identity) {
            let asks = state.next(true) == Next::Ask(identity.clone());
            let may_live =
                matches!(state, State::Presented(_) | State::Confirmed { .. } | State::Issued(_));
            assert_eq!(asks, may_live, "{state:?}");
            assert_eq!(state.next(false) == Next::Ask(identity.clone()), may_live, "{state:?}");
        }
    }

    #[test]
    fn only_a_request_without_a_session_creates_one() {
        for state in all(&identity()) {
            let creates = state.next(false) == Next::Create;
            let is_free = matches!(state, State::None | State::Destroyed { .. });
            assert_eq!(creates, is_free, "{state:?}");
            assert_ne!(state.next(true), Next::Create, "{state:?}");
        }
    }

    #[test]
    fn write_by_a_dead_token_conflicts_and_a_read_finds_nothing() {
        for death in [Death::Destroyed, Death::Rotated] {
            assert_eq!(State::Dead(death).next(false), Next::Conflict);
            assert_eq!(State::Dead(death).next(true), Next::FindNothing);
        }
    }

    #[test]
    fn session_that_was_lost_on_the_way_fails_reads_as_well() {
        for lost in [State::Lost(None), State::Lost(Some(Death::Destroyed))] {
            assert_eq!((lost.next(true), lost.next(false)), (Next::Conflict, Next::Conflict));
        }
    }

    #[test]
    fn live_record_confirms_what_was_presented_and_changes_nothing_else() {
        let identity = identity();
        let at = Instant::now();
        let own = identity.record;
        for state in all(&identity) {
            let next = after(&state, |it| it.applied(own, at));
            match state {
                State::Presented(_) | State::Confirmed { .. } => {
                    assert_eq!(next, State::Confirmed { identity: identity.clone(), at });
                }
                // A read that was answered beside the change counts if the change comes to nothing.
                State::Unsettled { before, .. }
                    if *before == State::Presented(identity.clone()) =>
                {
                    let before = after(&next, State::abandoned);
                    assert_eq!(before, State::Confirmed { identity: identity.clone(), at });
                }
                other => assert_eq!(next, other),
            }
        }
    }

    #[test]
    fn tombstone_kills_a_presented_token_and_loses_a_confirmed_or_issued_one() {
        let identity = identity();
        let own = identity.record;
        for state in all(&identity) {
            let next = after(&state, |it| {
                it.dead(own, Death::Rotated);
            });
            match state {
                State::Presented(_) => assert_eq!(next, State::Dead(Death::Rotated)),
                State::Confirmed { .. } | State::Issued(_) => {
                    assert_eq!(next, State::Lost(Some(Death::Rotated)));
                }
                other => assert_eq!(next, other),
            }
        }
    }

    #[test]
    fn vanished_record_is_replaced_by_a_young_request_that_has_read_nothing_in_it() {
        let identity = identity();
        let own = identity.record;
        for state in all(&identity) {
            let read = after(&state, |it| {
                it.gone(own, true, false);
            });
            let write = after(&state, |it| {
                it.gone(own, false, false);
            });
            let old = after(&state, |it| {
                it.gone(own, false, true);
            });
            match state {
                State::Presented(_) => {
                    assert_eq!(read, state, "a replica may lag");
                    assert_eq!(write, State::None);
                    assert_eq!(old, State::Dead(Death::Rotated));
                }
                State::Confirmed { .. } | State::Issued(_) => {
                    assert_eq!([read, write, old], [const { State::Lost(None) }; 3]);
                }
                other => assert_eq!([read, write, old], [other.clone(), other.clone(), other]),
            }
        }
    }

    #[test]
    fn answer_about_a_session_that_the_request_has_left_changes_nothing() {
        let (identity, other) = (identity(), identity());
        for state in all(&identity) {
            let record = other.record;
            assert_eq!(after(&state, |it| it.applied(record, Instant::now())), state);
            assert_eq!(after(&state, |it| assert!(!it.dead(record, Death::Destroyed))), state);
            assert_eq!(after(&state, |it| assert!(!it.gone(record, false, true))), state);
        }
    }

    #[test]
    fn new_token_is_issued_if_the_store_has_it_and_forgotten_if_not() {
        let (identity, pending) = (identity(), identity());
        for state in all(&identity) {
            let mut begun = state.clone();
            begun.begin(pending.clone(), Event::Created(pending.record.id));
            assert_eq!(begun.next(true), Next::Settle);
            assert_eq!(begun.next(false), Next::Settle);
            assert_eq!(begun.cookie(true, Instant::now()), CookieChange::Keep);
            let mut settled = begun.clone();
            assert_eq!(settled.settled(), Some(Event::Created(pending.record.id)));
            assert_eq!(settled, State::Issued(pending.clone()));
            assert_eq!(after(&begun, State::abandoned), state);
        }
    }

    #[test]
    fn cookie_is_set_for_a_new_token_always_and_for_an_old_one_only_while_that_is_fresh() {
        let identity = identity();
        let now = Instant::now();
        let later = now + FRESH + Duration::from_millis(1);
        let set = CookieChange::Set(identity.value.clone());
        let issued = State::Issued(identity.clone());
        assert_eq!(
            [issued.cookie(false, now), issued.cookie(false, later)],
            [set.clone(), set.clone()]
        );
        let confirmed = State::Confirmed { identity, at: now };
        assert_eq!(confirmed.cookie(true, now), set);
        assert_eq!(confirmed.cookie(true, later), CookieChange::Keep);
        assert_eq!(confirmed.cookie(false, now), CookieChange::Keep);
        let destroyed = State::Destroyed { at: now };
        assert_eq!(destroyed.cookie(false, now), CookieChange::Clear);
        assert_eq!(destroyed.cookie(false, later), CookieChange::Keep);
    }

    #[test]
    fn no_other_state_touches_the_cookie() {
        let identity = identity();
        for state in all(&identity) {
            let touches = state.cookie(true, Instant::now()) != CookieChange::Keep;
            let may = matches!(
                state,
                State::Issued(_) | State::Confirmed { .. } | State::Destroyed { .. }
            );
            assert_eq!(touches, may, "{state:?}");
        }
    }
}
