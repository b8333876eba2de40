//! How it works, for people.

use rocket::get;
use rocket_dyn_templates::Template;

use super::frame::Frame;

#[get("/about")]
pub(super) fn about(frame: Frame<'_>) -> Template {
    Template::render("about", frame)
}
