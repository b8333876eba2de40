//! One run: requests take their steps in a chosen order.

mod action;
mod fault;
mod follow_up;
pub(super) mod job;
mod request;

use std::collections::HashMap;
use std::time::Duration;

use rocket::http::Header;
use rocket::tokio;
use rocket::tokio::sync::oneshot;

use action::Action;
use job::Job;
use request::{Progress, Request, Response};

use super::browser::Browser;
use super::choice::{Choose, Option as Choice};
use super::invariants::Invariants;
use super::machine::{Machine, Snapshot};
use super::plan::Plan;
use super::step::Step;
use super::world::{Author, Event};
use crate::store::StoreError;

/// A run under way.
pub(super) struct Run<'m, C> {
    machine: &'m Machine,
    choice: &'m mut C,
    requests: Vec<Request<'m>>,
    jobs: Vec<Job>,
    pub(super) browsers: Vec<Browser>,
    pub(super) invariants: Invariants,
    faults: usize,
    is_faulty: bool,
    plans: Vec<Plan>,
    /// The number of pipelines that each request has sent itself (`false`), and in detached work
    /// (`true`).
    sent: HashMap<(usize, bool), usize>,
    is_traced: bool,
}

impl<'m, C: Choose> Run<'m, C> {
    pub(super) fn new(
        machine: &'m Machine,
        choice: &'m mut C,
        start: &Snapshot,
        plans: &[Plan],
        faults: usize,
        is_traced: bool,
    ) -> Self {
        machine.restore(start);
        machine.world.reset(plans.iter().map(|plan| plan.steps.clone()).collect());
        Self {
            machine,
            choice,
            requests: plans.iter().map(|plan| Request::new(plan.browser, true)).collect(),
            jobs: Vec::new(),
            browsers: start.browsers.clone(),
            invariants: Invariants::new(&start.keyspace, plans),
            faults,
            is_faulty: false,
            plans: plans.to_vec(),
            sent: HashMap::new(),
            is_traced,
        }
    }

    /// Completes the run, and then checks what is left. Returns `false` if the run was abandoned,
    /// because the rest was explored in another order.
    pub(super) async fn complete(&mut self) -> Result<bool, String> {
        if !self.choice.is_free() {
            self.begin_first().await?;
        }
        loop {
            let actions = self.actions();
            if actions.is_empty() {
                break;
            }
            let options: Vec<_> = actions.iter().map(|it| self.option(*it)).collect();
            let Some(chosen) = self.choice.choose(&options) else { return Ok(false) };
            self.perform(actions[chosen]).await?;
        }
        if let Some(request) = self.indices(|it| it.task.is_some()).next() {
            return Err(format!("the task of request {request} never ends"));
        }
        let machine = self.machine;
        self.invariants.settled(&self.browsers, |cookie| machine.place(cookie))?;
        if self.is_faulty || self.machine.is_new(&self.browsers) {
            self.follow_up().await?;
        }
        Ok(true)
    }

    /// Which requests begin with the cookie that their browser has now. The others wait for a
    /// response.
    async fn begin_first(&mut self) -> Result<(), String> {
        for request in 0..self.requests.len() {
            let browser = self.requests[request].browser;
            let of_browser = |it: &&Request<'_>| it.browser == browser;
            let has_begun = self.requests[..request]
                .iter()
                .filter(of_browser)
                .any(|it| !matches!(it.progress, Progress::Waiting));
            let is_last = !self.requests[request + 1..].iter().any(|it| it.browser == browser);
            let is_alone =
                is_last && self.requests[..request].iter().all(|it| it.browser != browser);
            let is_forced = is_alone || (is_last && !has_begun);
            let both = [Choice::default(), Choice::default()];
            if is_forced || self.choice.choose(&both) == Some(0) {
                self.perform(Action::Begin(request)).await?;
            }
        }
        self.requests.iter_mut().for_each(|it| it.may_begin = false);
        Ok(())
    }

    fn indices(&self, is_meant: impl Fn(&Request<'m>) -> bool) -> impl Iterator<Item = usize> {
        let meant = self.requests.iter().enumerate().filter(|(_, it)| is_meant(it));
        meant.map(|(at, _)| at).collect::<Vec<_>>().into_iter()
    }

    /// The step that a request's handler is at; `None` before and after it.
    fn step(&self, request: usize) -> Option<Step> {
        let at = self.machine.world.with(|state| state.steps[request]);
        self.plans[request].steps.get(at).copied()
    }

    async fn perform(&mut self, action: Action) -> Result<(), String> {
        self.note(|run| run.describe(action));
        match action {
            Action::Begin(request) => self.begin(request).await,
            Action::Execute(job) => {
                self.execute(job)?;
                self.reply(job).await
            }
            Action::Deliver(request) => {
                self.deliver(request);
                Ok(())
            }
            Action::Advance(time) => self.advance(time).await,
            Action::Fault(fault) => {
                self.faults -= 1;
                self.is_faulty = true;
                self.invariants.faulted();
                self.fail(fault).await
            }
        }
    }

    async fn begin(&mut self, request: usize) -> Result<(), String> {
        let browser = self.requests[request].browser;
        let cookie = self.browsers[browser].cookie.clone();
        let presented = cookie.as_deref().and_then(|it| self.machine.place(it));
        self.invariants.begun(request, presented, &self.machine.server.keyspace.borrow());
        let client = &self.machine.client;
        let future = async move {
            let mut asked = client.get(format!("/{request}"));
            if let Some(cookie) = cookie {
                asked.add_header(Header::new("Cookie", cookie));
            }
            let response = asked.dispatch().await;
            let set_cookie = response.headers().get("Set-Cookie").map(str::to_owned).collect();
            Response { status: response.status().code, set_cookie }
        };
        self.requests[request].progress = Progress::Begun(Box::pin(future));
        self.poll(request).await
    }

    /// Polls a request, and its detached work, until they wait for an answer.
    async fn poll(&mut self, request: usize) -> Result<(), String> {
        let world = &self.machine.world;
        let mut is_answered = false;
        let it = &mut self.requests[request];
        if it.is_running() {
            world.with(|state| {
                state.current = Some(request);
                state.last = request;
            });
            is_answered = it.poll();
            world.with(|state| {
                state.current = None;
                state.gives_up[request] = false;
                it.task = it.task.take().or(state.spawned.take());
            });
        }
        self.take_in().await?;
        if let Progress::Finished(response) = &self.requests[request].progress
            && is_answered
        {
            let cookies = &response.set_cookie;
            let places: Vec<_> = cookies.iter().map(|it| self.machine.place(it)).collect();
            let status = response.status;
            self.note(|_| {
                format!("    request {request} is answered {status}, cookies {places:?}")
            });
            self.invariants.answered(request, status, &places)?;
        }
        Ok(())
    }

    /// Lets detached work continue, and collects sent pipelines and events.
    async fn take_in(&mut self) -> Result<(), String> {
        tokio::task::yield_now().await;
        let (sent, events) = self
            .machine
            .world
            .with(|state| (std::mem::take(&mut state.sent), std::mem::take(&mut state.events)));
        for event in events {
            if let Event::Ended { request, step, outcome } = &event {
                let step = self.plans[*request].steps[*step];
                self.note(|_| format!("    request {request}: {step:?} gives {outcome:?}"));
            }
            self.invariants.happened(event)?;
        }
        for sent in sent {
            let (request, is_detached) = match sent.author {
                Author::Step { request, .. } => (request, false),
                Author::Detached(request) => (request, true),
            };
            let count = self.sent.entry((request, is_detached)).or_default();
            self.jobs.push(Job::new(sent, (request, is_detached, *count)));
            *count += 1;
        }
        Ok(())
    }

    fn execute(&mut self, at: usize) -> Result<(), String> {
        let server = &self.machine.server;
        let job = &mut self.jobs[at];
        let unit = job.units.next().expect("a job has units until it is over");
        job.done += 1;
        let before = server.keyspace.borrow().clone();
        let count = unit.len();
        let unit = self.machine.mutation.apply(unit);
        // Replies to commands that a mutation has added are dropped.
        let added = unit.len() - count;
        for (at, command) in unit.into_iter().enumerate() {
            let reply = server.execute(&mut job.connection, command);
            if at >= added {
                job.replies.push(reply.into_value());
            }
        }
        let after = server.keyspace.borrow();
        self.invariants.executed(job.author, &before, &after)
    }

    /// Hands over the replies if they are complete.
    async fn reply(&mut self, at: usize) -> Result<(), String> {
        if self.jobs[at].units.len() > 0 {
            return Ok(());
        }
        let job = self.jobs.remove(at);
        self.answer(job.author, job.answer, Ok(job.replies)).await
    }

    async fn answer(
        &mut self,
        author: Author,
        answer: Option<oneshot::Sender<Result<Vec<redis::Value>, StoreError>>>,
        with: Result<Vec<redis::Value>, StoreError>,
    ) -> Result<(), String> {
        if let Author::Detached(request) = author {
            self.machine.world.with(|state| state.last = request);
        }
        if answer.is_some_and(|it| it.send(with).is_ok())
            && let Author::Step { request, .. } = author
        {
            return self.poll(request).await;
        }
        self.take_in().await
    }

    fn deliver(&mut self, request: usize) {
        let it = &mut self.requests[request];
        let progress = std::mem::replace(&mut it.progress, Progress::Over);
        let Progress::Finished(response) = progress else { return };
        let browser = it.browser;
        for set_cookie in &response.set_cookie {
            self.browsers[browser].take(set_cookie);
        }
        self.invariants.delivered(request);
        self.requests
            .iter_mut()
            .filter(|it| it.browser == browser)
            .for_each(|it| it.may_begin = true);
    }

    async fn advance(&mut self, time: Duration) -> Result<(), String> {
        // After this time, nothing that is still in flight arrives.
        self.jobs.clear();
        self.machine.advance(time).await;
        self.invariants.aged(&self.machine.server.keyspace.borrow());
        for request in 0..self.requests.len() {
            self.poll_if_running(request).await?;
        }
        self.requests.iter_mut().for_each(|it| it.may_begin = true);
        Ok(())
    }

    async fn poll_if_running(&mut self, request: usize) -> Result<(), String> {
        if self.requests[request].is_running() { self.poll(request).await } else { Ok(()) }
    }

    fn note(&self, text: impl FnOnce(&Self) -> String) {
        if self.is_traced {
            println!("{}", text(self));
        }
    }
}
