//! What holds at every point of every run, whatever the order.
//!
//! An onlooker sees each change of a record at the moment when Redis makes it, knows whose command it
//! was, and hears what each step told its handler. So every rule is checked where it can first be
//! broken:
//!
//! | rule | checked |
//! |---|---|
//! | a session has one live record, and an id never lives twice | at each change |
//! | a user's live session is on the user's index | at each change |
//! | a record changes only as the step of its author may change it (F3, I5) | at each change |
//! | a step that was done has had its effect, once, and shows what was there (I1, I5) | at its end |
//! | a step that failed has had no effect, and has none later | at its end and at each change |
//! | what a request writes goes to the session that it has read (pinned identity) | at its end |
//! | after a new token, a request goes on under a token that it made itself (F1) | at its end |
//! | a session that was destroyed has no record again (F2) | at each change |
//! | a response sets only a cookie that its request has made or confirmed (I4) | at the response |
//! | a browser has the session of its last change of identity (F4) | when all has arrived |
//! | every key has a time to live (I8), and everybody is served again | a minute later |

use std::collections::{HashMap, HashSet};

use super::browser::Browser;
use super::keyspace::Keyspace;
use super::machine::Place;
use super::operations::{Answer, Outcome, Step};
use super::records::{Effect, Record, effects, records};
use super::scheduler::Plan;
use super::world::{Author, Event};

type Checked = Result<(), String>;

/// What is known of a request.
struct Seen {
    browser: usize,
    steps: Vec<Stage>,
    presented: Option<Place>,
    /// Whether the store knew nothing of that token when the request began: neither a record, nor a
    /// tombstone. Nobody can tell such a request from one of a new browser.
    is_unknown: bool,
    /// The session that it has read or written, until it changed its identity.
    pinned: Option<String>,
    /// Whether it has got a new token that was acknowledged.
    is_secured: bool,
    /// What its response did to the cookie.
    cookie: Option<Option<Place>>,
    has_begun_after: Vec<usize>,
    is_answered: bool,
    is_delivered: bool,
    is_dropped: bool,
}

/// What is known of a request's step.
struct Stage {
    step: Step,
    effects: Vec<Effect>,
    outcome: Option<Outcome>,
    /// What stood in the places that the request knew, at any time during the step.
    views: Vec<Vec<Record>>,
    /// Sessions that its user had when it began.
    meant: Vec<String>,
}

pub(super) struct Invariants {
    requests: Vec<Seen>,
    live: Vec<Record>,
    /// Which request has made a place, if any has.
    makers: HashMap<Place, Option<usize>>,
    /// Every session that has ever lived.
    ids: HashSet<String>,
    faults: usize,
}

impl Invariants {
    pub(super) fn new(keyspace: &Keyspace, plans: &[Plan]) -> Self {
        let live = records(keyspace);
        let mut new = Self {
            requests: Vec::new(),
            makers: live.iter().map(|it| (it.place.clone(), None)).collect(),
            ids: live.iter().map(|it| it.id.clone()).collect(),
            live,
            faults: 0,
        };
        plans.iter().for_each(|plan| new.planned(plan));
        new
    }

    pub(super) fn planned(&mut self, plan: &Plan) {
        let stage = |step: &Step| Stage {
            step: *step,
            effects: Vec::new(),
            outcome: None,
            views: Vec::new(),
            meant: Vec::new(),
        };
        self.requests.push(Seen {
            browser: plan.browser,
            steps: plan.steps.iter().map(stage).collect(),
            presented: None,
            is_unknown: true,
            pinned: None,
            is_secured: false,
            cookie: None,
            has_begun_after: Vec::new(),
            is_answered: false,
            is_delivered: false,
            is_dropped: false,
        });
    }

    pub(super) fn begun(&mut self, request: usize, presented: Option<Place>, keyspace: &Keyspace) {
        let delivered = self.requests.iter().enumerate().filter(|(_, it)| it.is_delivered);
        let before = delivered.map(|(at, _)| at).collect();
        let seen = &mut self.requests[request];
        let is_there = |place: &Place| keyspace.get(place.as_bytes()).is_some();
        seen.is_unknown = !presented.as_ref().is_some_and(is_there);
        (seen.presented, seen.has_begun_after) = (presented, before);
    }

    pub(super) fn delivered(&mut self, request: usize) {
        self.requests[request].is_delivered = true;
    }

    pub(super) fn dropped(&mut self, request: usize) {
        self.requests[request].is_dropped = true;
    }

    /// Something has failed that is not the code's.
    pub(super) fn faulted(&mut self) {
        self.faults += 1;
    }

    /// Time has passed, and records may have expired.
    pub(super) fn aged(&mut self, keyspace: &Keyspace) {
        self.live = records(keyspace);
    }

    /// Redis has carried out a unit of commands.
    pub(super) fn executed(
        &mut self,
        author: Author,
        before: &Keyspace,
        after: &Keyspace,
    ) -> Checked {
        if before == after {
            return Ok(());
        }
        let new = records(after);
        for record in &new {
            if new.iter().filter(|it| it.id == record.id).count() > 1 {
                return Err(format!("session {} has two live records", record.id));
            }
            if let Some(user) = record.user.as_ref().filter(|it| !record.is_indexed(it, after)) {
                return Err(format!("the index of {user} does not lead to {}", record.place));
            }
        }
        let done = effects(&self.live, &new);
        self.live = new;
        for effect in done {
            self.check_effect(author, &effect)?;
            if let Some(record) = effect.after() {
                self.makers.entry(record.place.clone()).or_insert(match author {
                    Author::Step { request, .. } => Some(request),
                    Author::Detached(_) => None,
                });
            }
            if let Author::Step { request, step } = author
                && let Some(stage) = self.requests[request].steps.get_mut(step)
            {
                stage.effects.push(effect);
            }
        }
        self.look();
        Ok(())
    }

    /// Notes what every step that is under way could see now.
    fn look(&mut self) {
        for request in 0..self.requests.len() {
            let known = self.known(request);
            let mut steps = self.requests[request].steps.iter_mut();
            let is_under_way = |it: &&mut Stage| !it.views.is_empty() && it.outcome.is_none();
            if let Some(stage) = steps.find(is_under_way) {
                stage.views.push(known);
            }
        }
    }

    /// The live records under the tokens that a request knows.
    fn known(&self, request: usize) -> Vec<Record> {
        let seen = &self.requests[request];
        let is_known = |it: &&Record| {
            seen.presented.as_ref() == Some(&it.place)
                || self.makers.get(&it.place) == Some(&Some(request))
        };
        self.live.iter().filter(is_known).cloned().collect()
    }

    /// Whether this author may do this to a record.
    fn check_effect(&mut self, author: Author, effect: &Effect) -> Checked {
        let wrong = |why: &str| Err(format!("{why}: {effect:?} by {author:?}"));
        let Author::Step { request, step: at } = author else {
            return wrong("detached work changes a session");
        };
        let Some(stage) = self.requests[request].steps.get(at) else {
            return wrong("a session changes after the handler's last step");
        };
        if let Some(outcome @ (Outcome::Conflict | Outcome::TooLarge | Outcome::Unavailable)) =
            &stage.outcome
        {
            return wrong(&format!("a step has an effect after it ended with {outcome:?}"));
        }
        let step = stage.step;
        let is_known = |it: &Record| self.known_before(request, it);
        let seen = &self.requests[request];
        let is_new_token = match effect {
            Effect::Created(_) => true,
            Effect::Changed { before, after } => before.place != after.place,
            Effect::Deleted(_) => false,
        };
        if is_new_token && seen.is_answered && !seen.is_dropped && self.faults < 2 {
            return wrong("a token is new after the response has left");
        }
        if let Effect::Changed { before, .. } = effect
            && !is_known(before)
        {
            return wrong("a request reaches a session whose token it was never given");
        }
        match effect {
            Effect::Created(record) => {
                if !self.ids.insert(record.id.clone()) {
                    return wrong("a session lives again");
                }
                let is_right = match step {
                    Step::View | Step::Increment => record.counts == [Some(1), None, None],
                    Step::Batch => record.counts == [None, Some(1), Some(1)],
                    Step::Insert => record.note == Some(step.note((request, at))),
                    Step::LogIn(user) => record.user.as_deref() == Some(user),
                    _ => false,
                };
                let is_empty = record.counts == [None; 3] && record.note.is_none();
                let is_plain = matches!(step, Step::LogIn(_)) == record.user.is_some()
                    && (is_empty || !matches!(step, Step::LogIn(_)));
                if is_right && is_plain {
                    Ok(())
                } else {
                    wrong("a session begins with something else")
                }
            }
            Effect::Deleted(record) => {
                let is_allowed = match step {
                    Step::Destroy => is_known(record),
                    Step::LogIn(user) => {
                        is_known(record) && record.user.as_deref().is_some_and(|it| it != user)
                    }
                    Step::DestroyAll(user) | Step::DestroyOthers(user) => {
                        record.user.as_deref() == Some(user)
                    }
                    _ => false,
                };
                if is_allowed { Ok(()) } else { wrong("a session is gone") }
            }
            Effect::Changed { before, after } if before.place != after.place => {
                let is_allowed = match step {
                    Step::Regenerate => after.user == before.user,
                    Step::LogIn(user) => after.user.as_deref() == Some(user),
                    _ => false,
                };
                let is_same = before.holds_same(after);
                if is_allowed && is_same { Ok(()) } else { wrong("a session moves wrongly") }
            }
            Effect::Changed { before, after } => {
                let mut due = before.clone();
                let add = |count: &mut Option<i64>| *count = Some(count.unwrap_or(0) + 1);
                match step {
                    Step::View | Step::Increment => add(&mut due.counts[0]),
                    Step::Batch => due.counts[1..].iter_mut().for_each(add),
                    Step::Insert | Step::InsertFirst => due.note = Some(step.note((request, at))),
                    Step::Take | Step::Remove => due.note = None,
                    _ => return wrong("a session changes"),
                }
                if due == *after { Ok(()) } else { wrong("a session changes otherwise than asked") }
            }
        }
    }

    /// Whether a request knew the token of a record that is gone by now.
    fn known_before(&self, request: usize, record: &Record) -> bool {
        self.requests[request].presented.as_ref() == Some(&record.place)
            || self.makers.get(&record.place) == Some(&Some(request))
    }

    /// A step has begun, or has told its handler what it came to.
    pub(super) fn happened(&mut self, event: Event) -> Checked {
        match event {
            Event::Began { request, step } => {
                let known = self.known(request);
                let stage = &mut self.requests[request].steps[step];
                stage.views.push(known);
                if let Step::DestroyAll(user) | Step::DestroyOthers(user) = stage.step {
                    let of_user = |it: &&Record| it.user.as_deref() == Some(user);
                    stage.meant =
                        self.live.iter().filter(of_user).map(|it| it.id.clone()).collect();
                }
                Ok(())
            }
            Event::Ended { request, step, outcome } => {
                self.requests[request].steps[step].outcome = Some(outcome.clone());
                let checked = match &outcome {
                    Outcome::Done(answer) => self.check_done(request, step, answer),
                    Outcome::Conflict | Outcome::TooLarge | Outcome::Unavailable => {
                        let stage = &self.requests[request].steps[step];
                        match stage.effects.first() {
                            Some(effect) => Err(format!("it has done {effect:?}")),
                            None => Ok(()),
                        }
                    }
                    Outcome::Unknown | Outcome::GivenUp => {
                        self.requests[request].pinned = None;
                        Ok(())
                    }
                    Outcome::Fault(error) => Err(error.clone()),
                };
                let step = self.requests[request].steps[step].step;
                checked.map_err(|why| {
                    format!("{step:?} of request {request} ended with {outcome:?}, and {why}")
                })
            }
        }
    }

    fn check_done(&mut self, request: usize, at: usize, answer: &Answer) -> Checked {
        let seen = &self.requests[request];
        let stage = &seen.steps[at];
        let only = || match stage.effects.as_slice() {
            [effect] => Ok(effect.clone()),
            other => Err(format!("has had {} effects: {other:?}", other.len())),
        };
        let written = |record: &Record| {
            let is_own = self.makers.get(&record.place) == Some(&Some(request));
            if seen.is_secured && !is_own {
                return Err("it wrote under a token from before".to_owned());
            }
            Ok(record.id.clone())
        };
        let id = match (stage.step, answer) {
            (Step::View | Step::Batch, Answer::Fields(counts, _)) => {
                let effect = only()?;
                let record = effect.after().ok_or("it left nothing")?;
                let shown = if stage.step == Step::View { 0..1 } else { 1..3 };
                if record.counts[shown.clone()] != counts[shown] {
                    return Err(format!("the record holds {record:?}"));
                }
                Some(written(record)?)
            }
            (Step::Increment, Answer::Count(count)) => {
                let effect = only()?;
                let record = effect.after().ok_or("it left nothing")?;
                if record.counts[0] != Some(*count) {
                    return Err(format!("the record holds {record:?}"));
                }
                Some(written(record)?)
            }
            (Step::Insert | Step::InsertFirst, _) => {
                let effect = only()?;
                Some(written(effect.after().ok_or("it left nothing")?)?)
            }
            (Step::Take, Answer::Text(Some(text))) => match only()? {
                Effect::Changed { before, .. } if before.note.as_ref() == Some(text) => {
                    Some(written(&before)?)
                }
                effect => return Err(format!("it has taken {effect:?}")),
            },
            (Step::Take, _) => match stage.effects.first() {
                Some(effect) => return Err(format!("it has taken {effect:?}")),
                None => stage.found(|it| it.note.is_none()).ok_or("there was a note")?,
            },
            (Step::Remove, _) => match stage.effects.first() {
                Some(effect) => Some(written(effect.after().ok_or("it left nothing")?)?),
                None => stage.found(|it| it.note.is_none()).ok_or("there was a note")?,
            },
            (Step::Get, Answer::Text(text)) => {
                stage.found(|it| it.note == *text).ok_or("the note was never so")?
            }
            (Step::User, Answer::Text(user)) => {
                stage.found(|it| it.user == *user).ok_or("the user was never so")?
            }
            (Step::Snapshot, Answer::Fields(counts, text)) => stage
                .found(|it| it.counts == *counts && it.note == *text)
                .ok_or("the record was never so")?,
            (Step::List(user), Answer::Sessions(ids)) => {
                let is_theirs = |it: &&Record| it.user.as_deref() == Some(user);
                let missing = self.live.iter().filter(is_theirs).find(|it| {
                    let is_old = self.makers.get(&it.place) == Some(&None);
                    is_old && !ids.contains(&it.id)
                });
                match missing {
                    Some(record) => return Err(format!("the list lacks {}", record.id)),
                    None => None,
                }
            }
            (Step::Regenerate | Step::LogIn(_), _) => return self.check_identity(request, at),
            (Step::Destroy | Step::DestroyAll(_) | Step::DestroyOthers(_), Answer::Nothing) => {
                return self.check_destroyed(request, at);
            }
            _ => None,
        };
        let Some(id) = id else { return Ok(()) };
        let pinned = &mut self.requests[request].pinned;
        match pinned {
            Some(pinned) if *pinned != id => {
                Err(format!("it went on in {id} after it was in {pinned}"))
            }
            _ => {
                *pinned = Some(id);
                Ok(())
            }
        }
    }

    /// After a new token, the session is reached by the token of this request alone.
    fn check_identity(&mut self, request: usize, at: usize) -> Checked {
        let seen = &self.requests[request];
        let stage = &seen.steps[at];
        let gained = stage.effects.iter().filter_map(Effect::after).collect::<Vec<_>>();
        match (stage.step, gained.as_slice()) {
            (_, [record]) if self.makers.get(&record.place) == Some(&Some(request)) => {
                let id = record.id.clone();
                let seen = &mut self.requests[request];
                (seen.is_secured, seen.pinned) = (true, Some(id));
                Ok(())
            }
            (Step::Regenerate, []) => match self.known(request).first() {
                Some(record) => Err(format!("{} is reached by the old token", record.place)),
                None => match seen.presented.as_deref().and_then(|it| self.at_id_of(it)) {
                    Some(record) if !seen.is_unknown => {
                        Err(format!("its session lives on at {}", record.place))
                    }
                    _ => Ok(()),
                },
            },
            (_, other) => Err(format!("it has come to {other:?}")),
        }
    }

    /// The live record of the session that a place belongs to.
    fn at_id_of(&self, place: &str) -> Option<&Record> {
        let id = place.split_once('{')?.1.split_once('}')?.0;
        self.live.iter().find(|it| it.id == id)
    }

    fn check_destroyed(&mut self, request: usize, at: usize) -> Checked {
        let seen = &self.requests[request];
        let stage = &seen.steps[at];
        let mut gone: Vec<String> = stage.effects.iter().map(|it| it.id().to_owned()).collect();
        match stage.step {
            Step::DestroyOthers(_) => {
                let is_own = |id: &&String| {
                    let made = self.known(request).iter().any(|it| it.id == **id);
                    made || seen.presented.as_ref().is_some_and(|it| it.contains(*id))
                };
                gone.extend(stage.meant.iter().filter(|id| !is_own(id)).cloned());
            }
            Step::DestroyAll(_) => gone.extend(stage.meant.iter().cloned()),
            _ => {
                let own = self.known(request).first().map(|it| it.id.clone());
                let presented = seen.presented.as_deref().and_then(|it| self.at_id_of(it));
                let presented = presented.filter(|_| !seen.has_left(at) && !seen.is_unknown);
                let presented = presented.map(|it| it.id.clone());
                gone.extend(own.into_iter().chain(presented));
            }
        }
        for id in gone {
            if let Some(record) = self.live.iter().find(|it| it.id == id) {
                return Err(format!("{} lives", record.place));
            }
            self.ids.insert(id);
        }
        self.requests[request].pinned = None;
        Ok(())
    }

    /// A response has its headers.
    pub(super) fn answered(
        &mut self,
        request: usize,
        status: u16,
        cookies: &[Option<Place>],
    ) -> Checked {
        if ![200, 409, 413, 503].contains(&status) {
            return Err(format!("request {request} is answered with {status}"));
        }
        self.requests[request].is_answered = true;
        let is_own = |it: &&Record| self.makers.get(&it.place) == Some(&Some(request));
        let lost =
            self.live.iter().filter(is_own).find(|it| !cookies.contains(&Some(it.place.clone())));
        if let Some(record) = lost.filter(|_| self.faults < 2) {
            return Err(format!("the response does not bring the token of {}", record.place));
        }
        let cookie = match cookies {
            [] => return Ok(()),
            [cookie] => cookie.clone(),
            _ => return Err(format!("request {request} sets {} cookies", cookies.len())),
        };
        let seen = &self.requests[request];
        match &cookie {
            Some(place) => {
                let is_own = self.makers.get(place) == Some(&Some(request));
                let is_again = seen.presented.as_ref() == Some(place)
                    && seen.steps.iter().any(|it| it.step == Step::Remember);
                if !is_own && !is_again {
                    return Err(format!("request {request} sets a cookie for {place}, unasked"));
                }
            }
            None => {
                let own = self.known(request).first().map(|it| it.place.clone());
                let has_left = seen.is_unknown || seen.has_left(seen.steps.len());
                let presented = seen.presented.as_deref().filter(|_| !has_left);
                let presented = presented.and_then(|it| self.at_id_of(it));
                if let Some(place) = own.or(presented.map(|it| it.place.clone())) {
                    return Err(format!("request {request} clears the cookie, and {place} lives"));
                }
            }
        }
        self.requests[request].cookie = Some(cookie);
        Ok(())
    }

    /// All responses have arrived.
    pub(super) fn settled(
        &self,
        browsers: &[Browser],
        place: impl Fn(&str) -> Option<Place>,
    ) -> Checked {
        for (number, browser) in browsers.iter().enumerate() {
            let held = browser.cookie.as_deref().and_then(&place);
            self.check_browser(number, held.as_ref())
                .map_err(|why| format!("browser {number} {why}"))?;
        }
        Ok(())
    }

    fn check_browser(&self, browser: usize, held: Option<&Place>) -> Checked {
        let own = || self.requests.iter().enumerate().filter(|(_, it)| it.browser == browser);
        let mut changes = own().filter(|(_, it)| it.has_changed_identity());
        let Some((last, seen)) = changes.next() else { return Ok(()) };
        let is_only = changes.next().is_none();
        if !is_only || seen.is_dropped || !seen.is_delivered {
            return Ok(());
        }
        let due = seen.cookie.clone().flatten();
        // Nobody can tell a request without a session from a new browser, a repeated token may be
        // overtaken within seconds, and what began with the new cookie may have gone on from there.
        let is_excused = own().any(|(at, it)| {
            let is_late = it.steps.iter().any(|it| matches!(it.step, Step::Wait(_)));
            let is_repeated = it.cookie.as_ref() == Some(&it.presented) && !is_late;
            let is_later = it.has_begun_after.contains(&last);
            at != last && it.cookie.is_some() && (it.is_unknown || is_repeated || is_later)
        });
        if held == due.as_ref() || is_excused {
            return Ok(());
        }
        Err(format!("holds {held:?}, and request {last} brought it {due:?}"))
    }

    /// A minute later, with everybody served.
    pub(super) fn over(&self, keyspace: &Keyspace) -> Checked {
        for (key, entry) in keyspace.entries() {
            let key = String::from_utf8_lossy(key);
            if entry.expires.is_none() {
                return Err(format!("{key} has no time to live"));
            }
            if !key.starts_with("session:") {
                return Err(format!("{key} is none of ours"));
            }
        }
        Ok(())
    }

    /// The last request was answered, with nothing beside it.
    pub(super) fn check_served(&self) -> Checked {
        let Some(seen) = self.requests.last() else { return Ok(()) };
        match seen.steps.last().and_then(|it| it.outcome.clone()) {
            Some(Outcome::Done(_)) => Ok(()),
            outcome => Err(format!("a request alone comes to {outcome:?}")),
        }
    }
}

impl Stage {
    /// The session that was so at some time during the step: `Some(None)` if what was found is
    /// nothing, and there was no session at some time.
    fn found(&self, is_so: impl Fn(&Record) -> bool) -> Option<Option<String>> {
        let nothing = Record {
            place: String::new(),
            id: String::new(),
            user: None,
            counts: [None; 3],
            note: None,
        };
        let found = self.views.iter().flatten().find(|it| is_so(it));
        if let Some(record) = found {
            return Some(Some(record.id.clone()).filter(|_| !is_so(&nothing)));
        }
        let was_nothing = self.views.iter().any(Vec::is_empty) && is_so(&nothing);
        was_nothing.then_some(None)
    }
}

impl Seen {
    /// Whether it has gone on in another session than it presented, in one of its first steps.
    fn has_left(&self, steps: usize) -> bool {
        let mut effects = self.steps[..steps].iter().flat_map(|it| &it.effects);
        effects.any(|it| matches!(it, Effect::Created(_)))
    }

    /// Whether a step has acknowledged another token, or that there is none any more.
    fn has_changed_identity(&self) -> bool {
        let is_change = |it: &Stage| match it.step {
            Step::Regenerate | Step::LogIn(_) | Step::Destroy => true,
            // Their own session was among those.
            Step::DestroyAll(_) | Step::DestroyOthers(_) => self.cookie == Some(None),
            _ => false,
        };
        let is_done = |it: &Stage| matches!(it.outcome, Some(Outcome::Done(_)));
        self.cookie.is_some()
            && self.steps.iter().any(|it| is_change(it) && is_done(it) && !it.effects.is_empty())
    }
}
