//! Requests that are sent after everything else.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Progress, Request, Run};
use crate::simulation::choice::Choose;
use crate::simulation::invariants::Invariants;
use crate::simulation::plan::Plan;
use crate::simulation::step::Step;

/// Longer than any tombstone lasts.
const MINUTE: Duration = Duration::from_mins(1);

impl<C: Choose> Run<'_, C> {
    /// A minute later, every browser is served as usual, and every key has a time to live.
    pub(super) async fn follow_up(&mut self) -> Result<(), String> {
        self.machine.server.keyspace.borrow_mut().is_full = false;
        self.advance(MINUTE).await?;
        let browsers: BTreeSet<_> = self.plans.iter().map(|plan| plan.browser).collect();
        for browser in browsers {
            self.request_alone(browser, vec![Step::View]).await?;
            self.invariants.check_served()?;
        }
        Invariants::over(&self.machine.server.keyspace.borrow())
    }

    /// Sends a request while no other is running.
    pub(in crate::simulation) async fn request_alone(
        &mut self,
        browser: usize,
        steps: Vec<Step>,
    ) -> Result<(), String> {
        let request = self.requests.len();
        let plan = Plan { browser, steps };
        self.note(|_| format!("then {plan:?} as request {request}"));
        self.machine.world.with(|state| {
            state.plans.push(plan.steps.clone());
            state.steps.push(0);
            state.gives_up.push(false);
        });
        self.invariants.planned(&plan);
        self.plans.push(plan);
        self.requests.push(Request::new(browser, false));
        self.begin(request).await?;
        while !self.jobs.is_empty() {
            self.execute(0)?;
            self.reply(0).await?;
        }
        match &self.requests[request].progress {
            Progress::Finished(_) => self.deliver(request),
            _ => return Err(format!("request {request} never ends")),
        }
        Ok(())
    }
}
