//! What can happen next.

use std::time::Duration;

use super::{Progress, Request, Run};
use crate::simulation::choice::{Choose, Option as Choice};
use crate::simulation::step::Step;
use crate::simulation::world::Author;

#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Begin(usize),
    /// Redis executes the job's next unit. After the last unit, the replies arrive at once: nothing
    /// that happens in between matters to others.
    Execute(usize),
    Deliver(usize),
    /// Time passes, because all requests wait for a handler that does something else.
    Advance(Duration),
    Fault(Fault),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The connection breaks. Redis executes the remaining units later or never.
    Cut { job: usize, is_late: bool },
    /// Redis executes the last unit, and the replies are lost.
    LoseReplies(usize),
    /// Nothing was sent: there is no connection.
    Refuse(usize),
    /// The handler stops waiting.
    GiveUp { request: usize, is_late: bool },
    /// The process ends during the request, or its task.
    Drop(usize),
    /// The response never arrives.
    LoseResponse(usize),
}

impl<C: Choose> Run<'_, C> {
    pub(super) fn actions(&self) -> Vec<Action> {
        if self.choice.is_free() {
            let mut actions = self.begins();
            actions.extend(self.executions());
            actions.extend(self.deliveries());
            actions.extend(self.advances());
            actions.extend(self.faults().into_iter().map(Action::Fault));
            return actions;
        }
        let begins = self.begins();
        if let Some(begin) = begins.first() {
            return vec![*begin];
        }
        let deliveries = self.deliveries();
        for delivery in &deliveries {
            let Action::Deliver(request) = delivery else { continue };
            if self.is_awaited(self.requests[*request].browser) {
                return vec![*delivery];
            }
        }
        let is_pending = self.requests.iter().any(|it| matches!(it.progress, Progress::Begun(_)));
        let mut executions = self.executions();
        if is_pending {
            executions.extend(self.advances());
            executions.extend(self.faults().into_iter().map(Action::Fault));
            return executions;
        }
        // No remaining request could see a difference.
        executions.truncate(1);
        if executions.is_empty() { deliveries } else { executions }
    }

    /// Whether a request of this browser waits for the cookie of a response.
    fn is_awaited(&self, browser: usize) -> bool {
        self.requests
            .iter()
            .any(|it| it.browser == browser && matches!(it.progress, Progress::Waiting))
    }

    fn begins(&self) -> Vec<Action> {
        let may_begin = |it: &Request<'_>| it.may_begin && matches!(it.progress, Progress::Waiting);
        self.indices(may_begin).map(Action::Begin).collect()
    }

    fn executions(&self) -> Vec<Action> {
        (0..self.jobs.len()).map(Action::Execute).collect()
    }

    fn deliveries(&self) -> Vec<Action> {
        self.indices(|it| matches!(it.progress, Progress::Finished(_)))
            .map(Action::Deliver)
            .collect()
    }

    /// Time passes only if no request waits for Redis.
    fn advances(&self) -> Option<Action> {
        if self
            .jobs
            .iter()
            .any(|job| job.answer.is_some() && matches!(job.author, Author::Step { .. }))
        {
            return None;
        }
        let wait = self.indices(Request::is_running).find_map(|it| match self.step(it) {
            Some(Step::Wait(seconds)) => Some(seconds),
            _ => None,
        })?;
        Some(Action::Advance(Duration::from_secs(wait)))
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.faults == 0 {
            return faults;
        }
        for (at, job) in self.jobs.iter().enumerate() {
            if job.answer.is_none() {
                continue;
            }
            faults.push(Fault::Cut { job: at, is_late: false });
            faults.push(Fault::Cut { job: at, is_late: true });
            if job.units.len() == 1 {
                faults.push(Fault::LoseReplies(at));
            }
            if job.replies.is_empty() {
                faults.push(Fault::Refuse(at));
            }
        }
        for request in self.indices(Request::is_running) {
            if self.step(request).is_some() {
                faults.push(Fault::GiveUp { request, is_late: false });
                faults.push(Fault::GiveUp { request, is_late: true });
            }
            faults.push(Fault::Drop(request));
        }
        if self.choice.is_free() {
            let finished = self.indices(|it| matches!(it.progress, Progress::Finished(_)));
            faults.extend(finished.map(Fault::LoseResponse));
        }
        faults
    }

    /// An action as the chooser sees it.
    pub(super) fn option(&self, action: Action) -> Choice {
        match action {
            Action::Execute(job) => self.jobs[job].option(),
            _ => Choice::default(),
        }
    }

    pub(super) fn describe(&self, action: Action) -> String {
        let job = |at: usize| self.jobs[at].describe();
        match action {
            Action::Begin(request) => {
                let plan = &self.plans[request];
                format!("request {request} begins: browser {}, {:?}", plan.browser, plan.steps)
            }
            Action::Execute(at) => format!("  {}", job(at)),
            Action::Deliver(request) => format!("response {request} arrives"),
            Action::Advance(time) => format!("{time:?} pass"),
            Action::Fault(Fault::Cut { job: at, is_late: false }) => {
                format!("CUT, lost: {}", job(at))
            }
            Action::Fault(Fault::Cut { job: at, .. }) => format!("CUT, done later: {}", job(at)),
            Action::Fault(Fault::LoseReplies(at)) => format!("REPLIES LOST: {}", job(at)),
            Action::Fault(Fault::Refuse(at)) => format!("REFUSED: {}", job(at)),
            Action::Fault(fault) => format!("{fault:?}"),
        }
    }
}
