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

#[cfg(feature = "express")]
fn importable() -> State {
    State::Importable(crate::express::OldId::new("id"))
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
        #[cfg(feature = "express")]
        importable(),
    ]
}

fn after(state: &State, change: impl FnOnce(&mut State)) -> State {
    let mut state = state.clone();
    change(&mut state);
    state
}

#[test]
fn store_is_asked_only_about_a_session_that_may_be_live() {
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
fn write_with_a_dead_token_conflicts_and_a_read_finds_nothing() {
    for death in [Death::Destroyed, Death::Rotated] {
        assert_eq!(State::Dead(death).next(false), Next::Conflict);
        assert_eq!(State::Dead(death).next(true), Next::FindNothing);
    }
}

#[test]
fn session_that_was_lost_during_the_request_fails_reads_as_well() {
    for lost in [State::Lost(None), State::Lost(Some(Death::Destroyed))] {
        assert_eq!((lost.next(true), lost.next(false)), (Next::Conflict, Next::Conflict));
    }
}

#[test]
fn live_record_confirms_a_presented_token_and_changes_nothing_else() {
    let identity = identity();
    let at = Instant::now();
    let own = identity.record;
    for state in all(&identity) {
        let next = after(&state, |it| it.applied(own, at));
        match state {
            State::Presented(_) | State::Confirmed { .. } => {
                assert_eq!(next, State::Confirmed { identity: identity.clone(), at });
            }
            // The answer to a concurrent read still counts if the change is abandoned.
            State::Unsettled { before, .. } if *before == State::Presented(identity.clone()) => {
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
fn vanished_record_is_replaced_only_by_a_young_request_that_has_not_seen_it() {
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
fn cookie_is_always_set_for_a_new_token_and_for_an_old_one_only_soon_after_the_stores_answer() {
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
        let may =
            matches!(state, State::Issued(_) | State::Confirmed { .. } | State::Destroyed { .. });
        assert_eq!(touches, may, "{state:?}");
    }
}

#[cfg(feature = "express")]
#[test]
fn old_cookie_is_imported_first_and_leads_to_a_session_or_to_none() {
    let identity = identity();
    for is_read in [true, false] {
        assert_eq!(importable().next(is_read), Next::Settle);
    }
    assert!(!importable().is_pinned() && !importable().is_unsettled());
    assert_eq!(importable().cookie(true, Instant::now()), CookieChange::Keep);
    let imported = after(&importable(), |state| state.imported(Some(identity.clone())));
    assert_eq!(imported, State::Presented(identity.clone()));
    assert_eq!(after(&importable(), |state| state.imported(None)), State::None);
    for state in all(&identity).into_iter().filter(|it| *it != importable()) {
        assert_eq!(after(&state, |state| state.imported(Some(self::identity()))), state);
    }
}
