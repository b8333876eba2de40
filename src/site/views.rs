//! The routes of the pages that count their views.

use std::time::SystemTime;

use rocket::get;
use rocket::http::Status;
use rocket_server_sessions::{self as session, Error, Session, Snapshot};

use super::counts::Counts;
use super::instance::Instance;
use super::page::Page;
use super::page_request::PageRequest;
use super::page_view::PageView;
use super::relative_time::RelativeTime;
use super::visit::Visit;

#[get("/")]
pub(super) async fn home(
    request: PageRequest<'_>,
) -> Result<session::Result<PageView<'_>>, Status> {
    request.visit.refuse_speculation()?;
    Ok(view(Page::Home, request).await)
}

#[get("/<page>")]
pub(super) async fn page(
    page: Option<Page>,
    request: PageRequest<'_>,
) -> Result<session::Result<PageView<'_>>, Status> {
    let page = page.ok_or(Status::NotFound)?;
    request.visit.refuse_speculation()?;
    Ok(view(page, request).await)
}

/// Counts the view, unless it is a `HEAD` request, and shows all counts. Takes one round trip, and
/// another one if this instance is new to the session.
async fn view(page: Page, request: PageRequest<'_>) -> session::Result<PageView<'_>> {
    let PageRequest { session, visit, layout, metrics } = request;
    let has_cookie = session.info().is_some();
    let (snapshot, counts) = match visit {
        Visit::Counted => count(page, session, layout.instance).await?,
        Visit::Unseen | Visit::Speculative => with_counts(page, session.snapshot().await?),
    };
    let seen = layout.instance.seen(&snapshot);
    if visit == Visit::Counted {
        metrics.increment(page);
        layout.instance.remember(session, &seen).await;
    }
    let now = SystemTime::now();
    let info = session.info();
    let rejection = session.rejection();
    let created = info.map_or(now, |it| it.created);
    let expires = info.map_or(now, |it| it.idle_expiry.unwrap_or(it.absolute_expiry));
    // A visitor with an old cookie of Express is returning, too.
    let is_returning = has_cookie || counts.total() > 1;
    Ok(PageView {
        counts,
        instances: seen.ids,
        created: RelativeTime::new(created, now),
        expires: RelativeTime::new(expires, now),
        store: session.store_name(),
        is_returning: is_returning && rejection.is_none(),
        rejection,
        layout,
    })
}

fn with_counts(page: Page, snapshot: Snapshot) -> (Snapshot, Counts) {
    let counts = Counts::of(page, &snapshot);
    (snapshot, counts)
}

/// Adds one to the page's count, and returns the whole session. A damaged count starts again.
async fn count(
    page: Page,
    session: Session<'_>,
    instance: &Instance,
) -> session::Result<(Snapshot, Counts)> {
    let mut batch = session.batch().increment(page.views(), 1);
    if session.info().is_none() {
        batch = instance.remember_in(batch);
    }
    let counted = batch.commit().await.map(|snapshot| with_counts(page, snapshot));
    match counted {
        Ok((_, counts)) if counts.current() > 0 => counted,
        Ok(_) | Err(Error::NotAnInteger { .. } | Error::OutOfRange { .. }) => {
            log::warn!("the count in `{}` is damaged, so it starts again", page.views().name());
            let snapshot = session.batch().insert(page.views(), 1).commit().await?;
            Ok(with_counts(page, snapshot))
        }
        Err(_) => counted,
    }
}
