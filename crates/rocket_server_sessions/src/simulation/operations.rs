//! What requests do: the handler of a small application takes their steps.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rocket::http::Status;
use rocket::{State, get};

use super::step::{Answer, Outcome, Step};
use super::world::{Event, Task, World};
use crate::{self as session, Key, Session, Sessions, UserSessions};

const VIEWS: Key<i64> = Key::new("views");
const NOTE: Key<String> = Key::new("note");
const LEFT: Key<i64> = Key::new("left");
const RIGHT: Key<i64> = Key::new("right");

const SMALL: Key<i8> = Key::new("small");

/// What the field of a narrow type is incremented by. A second increment does not fit.
pub(super) const LARGE: i64 = 100;

/// What an update appends to the note.
pub(super) const UPDATE: &str = "+";

/// The length of a value that is too large for a field.
const TOO_LONG: usize = 20_000;

/// The only route: request `number` takes the steps of its plan.
#[get("/<number>")]
pub(super) async fn run(
    number: usize,
    world: &State<World>,
    session: Session<'_>,
    users: UserSessions<'_>,
    sessions: &State<Sessions>,
) -> (Status, String) {
    let plan = world.with(|state| state.plans[number].clone());
    let own = plan.iter().position(|step| *step == Step::Spawn).unwrap_or(plan.len());
    let status = run_steps(world, number, 0..own, session, users).await;
    if status == Status::Ok && own < plan.len() {
        let (world, owned, sessions) =
            (World::clone(world), session.into_owned(), (**sessions).clone());
        let steps = own + 1..plan.len();
        let mut task: Task = Box::pin({
            let world = world.clone();
            async move {
                run_steps(&world, number, steps, owned.session(), sessions.users()).await;
            }
        });
        // The task's first commands are sent before the response.
        let is_over = poll_fn(|context| Poll::Ready(task.as_mut().poll(context).is_ready())).await;
        world.with(|state| state.spawned = (!is_over).then_some(task));
    }
    (status, String::new())
}

/// Takes steps of a plan until one fails.
async fn run_steps(
    world: &World,
    number: usize,
    steps: Range<usize>,
    session: Session<'_>,
    users: UserSessions<'_>,
) -> Status {
    let plan = world.with(|state| state.plans[number].clone());
    let mut status = Status::Ok;
    for at in steps {
        let step = plan[at];
        world.with(|state| {
            state.steps[number] = at;
            state.events.push(Event::Began { request: number, step: at });
        });
        let outcome =
            match patient(world, number, step.carry_out((number, at), session, users)).await {
                None => Outcome::GivenUp,
                Some(Ok(answer)) => Outcome::Done(answer),
                Some(Err(error)) => {
                    status = error.status();
                    failed(&error)
                }
            };
        // A handler returns an error, but continues if it has only stopped waiting.
        let is_over = !matches!(outcome, Outcome::Done(_) | Outcome::GivenUp);
        let event = Event::Ended { request: number, step: at, outcome };
        world.with(|state| state.events.push(event));
        if is_over {
            break;
        }
    }
    world.with(|state| state.steps[number] = plan.len());
    status
}

fn failed(error: &session::Error) -> Outcome {
    match (error.status().code, error) {
        (409, _) => Outcome::Conflict,
        (413, _) => Outcome::TooLarge,
        (_, session::Error::Unavailable { .. }) => Outcome::Unavailable,
        (_, session::Error::OutcomeUnknown { .. }) => Outcome::Unknown,
        _ => Outcome::Fault(error.to_string()),
    }
}

/// Waits for a step, but drops its future if the scheduler says so.
async fn patient<T>(world: &World, number: usize, step: impl Future<Output = T>) -> Option<T> {
    let mut step = pin!(step);
    poll_fn(|context| {
        if world.with(|state| std::mem::take(&mut state.gives_up[number])) {
            return Poll::Ready(None);
        }
        step.as_mut().poll(context).map(Some)
    })
    .await
}

impl Step {
    async fn carry_out(
        self,
        at: (usize, usize),
        session: Session<'_>,
        users: UserSessions<'_>,
    ) -> session::Result<Answer> {
        Ok(match self {
            Self::View => fields(&session.batch().increment(VIEWS, 1).commit().await?)?,
            Self::Increment => Answer::Count(session.increment(VIEWS, 1).await?),
            Self::Get => Answer::Text(session.get(NOTE).await?),
            Self::Insert | Self::InsertFirst => {
                session.insert(NOTE, &self.note(at)).await?;
                Answer::Nothing
            }
            Self::InsertTooLarge => {
                session.insert(NOTE, &"x".repeat(TOO_LONG)).await?;
                Answer::Nothing
            }
            Self::Update => {
                let text = session.update(NOTE, |note| {
                    note.push_str(UPDATE);
                    note.clone()
                });
                Answer::Text(Some(text.await?))
            }
            Self::Take => Answer::Text(session.take(NOTE).await?),
            Self::Remove => {
                session.remove(NOTE).await?;
                Answer::Nothing
            }
            Self::Batch => {
                fields(&session.batch().increment(LEFT, 1).increment(RIGHT, 1).commit().await?)?
            }
            Self::Small => match session.increment(SMALL, LARGE).await {
                Ok(sum) => Answer::Count(sum.into()),
                Err(session::Error::OutOfRange { .. }) => Answer::Nothing,
                Err(error) => return Err(error),
            },
            Self::Clear => {
                session.clear().await?;
                Answer::Nothing
            }
            Self::Snapshot => fields(&session.snapshot().await?)?,
            Self::User => Answer::Text(session.user().await?.map(|user| user.name)),
            Self::Regenerate => {
                session.regenerate().await?;
                Answer::Nothing
            }
            Self::LogIn(user) => {
                session.log_in(user, "a browser").await?;
                Answer::Nothing
            }
            Self::LogInWith(user) => {
                session.log_in(user, "a browser").insert(NOTE, self.note(at)).await?;
                Answer::Nothing
            }
            Self::Destroy => {
                session.destroy().await?;
                Answer::Nothing
            }
            Self::DestroyAll(user) => {
                users.destroy_all(user).await?;
                Answer::Nothing
            }
            Self::DestroyOthers(user) => match session.info() {
                Some(info) => {
                    users.destroy_others(user, info.id).await?;
                    Answer::Nothing
                }
                None => Answer::Text(None),
            },
            Self::List(user) => {
                let sessions = users.list(user).await?;
                Answer::Sessions(sessions.iter().map(|it| it.id.to_string()).collect())
            }
            Self::Remember => {
                session.remember_me(false).await?;
                Answer::Nothing
            }
            Self::RememberFor => {
                session.remember_me(Duration::from_hours(14 * 24)).await?;
                Answer::Nothing
            }
            Self::Wait(seconds) => {
                rocket::tokio::time::sleep(Duration::from_secs(seconds)).await;
                Answer::Nothing
            }
            Self::Spawn => Answer::Nothing,
        })
    }
}

fn fields(snapshot: &session::Snapshot) -> session::Result<Answer> {
    let numbers = [
        snapshot.get(VIEWS)?,
        snapshot.get(LEFT)?,
        snapshot.get(RIGHT)?,
        snapshot.get(SMALL)?.map(i64::from),
    ];
    Ok(Answer::Fields(numbers, snapshot.get(NOTE)?))
}
