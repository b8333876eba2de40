//! A request, and how far it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::simulation::world::Task;

pub(super) struct Response {
    pub(super) status: u16,
    pub(super) set_cookie: Vec<String>,
}

type Pending<'m> = Pin<Box<dyn Future<Output = Response> + 'm>>;

pub(super) enum Progress<'m> {
    Waiting,
    Begun(Pending<'m>),
    Finished(Response),
    Over,
}

pub(super) struct Request<'m> {
    pub(super) browser: usize,
    pub(super) progress: Progress<'m>,
    /// What its handler has left behind.
    pub(super) task: Option<Task>,
    pub(super) may_begin: bool,
}

impl Request<'_> {
    pub(super) fn new(browser: usize, may_begin: bool) -> Self {
        Self { browser, progress: Progress::Waiting, task: None, may_begin }
    }

    /// Goes on as far as it can without a reply. Returns `true` if this has answered it.
    pub(super) fn poll(&mut self) -> bool {
        let waker = Waker::from(Arc::new(Polled));
        let mut context = Context::from_waker(&waker);
        self.poll_task(&mut context);
        if let Progress::Begun(future) = &mut self.progress
            && let Poll::Ready(response) = future.as_mut().poll(&mut context)
        {
            self.progress = Progress::Finished(response);
            // It may have waited for what the response had locked.
            self.poll_task(&mut context);
            return true;
        }
        false
    }

    fn poll_task(&mut self, context: &mut Context<'_>) {
        self.task.take_if(|task| task.as_mut().poll(context).is_ready());
    }

    /// Whether its handler or its task is running.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.progress, Progress::Begun(_)) || self.task.is_some()
    }
}

/// The waker of requests. It does nothing: requests are polled anyway when there is an answer.
struct Polled;

impl Wake for Polled {
    fn wake(self: Arc<Self>) {}
}
