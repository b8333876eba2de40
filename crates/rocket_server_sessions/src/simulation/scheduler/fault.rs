//! The effect of a fault on a run.

use super::action::Fault;
use super::job::Job;
use super::{Progress, Run};
use crate::simulation::choice::Choose;
use crate::simulation::world::Author;
use crate::store::StoreError;

impl<C: Choose> Run<'_, C> {
    pub(super) async fn fail(&mut self, fault: Fault) -> Result<(), String> {
        let broke = || StoreError::outcome_unknown("the connection to Redis broke");
        match fault {
            Fault::Cut { job, is_late } => {
                let (author, answer) = (self.jobs[job].author, self.jobs[job].answer.take());
                if !is_late {
                    self.jobs.remove(job);
                }
                self.answer(author, answer, Err(broke())).await
            }
            Fault::LoseReplies(job) => {
                self.execute(job)?;
                let job = self.jobs.remove(job);
                self.answer(job.author, job.answer, Err(broke())).await
            }
            Fault::Refuse(job) => {
                let job = self.jobs.remove(job);
                let refused = StoreError::refused("no connection to Redis");
                self.answer(job.author, job.answer, Err(refused)).await
            }
            Fault::GiveUp { request, is_late } => {
                self.abandon(request, is_late);
                self.machine.world.with(|state| state.gives_up[request] = true);
                self.poll(request).await
            }
            Fault::Drop(request) => {
                self.abandon(request, true);
                let it = &mut self.requests[request];
                it.task = None;
                if matches!(it.progress, Progress::Begun(_)) {
                    it.progress = Progress::Over;
                    self.invariants.dropped(request);
                }
                self.take_in().await
            }
            Fault::LoseResponse(request) => {
                self.requests[request].progress = Progress::Over;
                self.invariants.dropped(request);
                Ok(())
            }
        }
    }

    /// The request no longer waits for what it has sent.
    fn abandon(&mut self, request: usize, is_late: bool) {
        let is_own =
            |job: &Job| matches!(job.author, Author::Step { request: it, .. } if it == request);
        self.jobs.retain(|job| is_late || !is_own(job));
        self.jobs.iter_mut().filter(|job| is_own(job)).for_each(|job| drop(job.answer.take()));
    }
}
