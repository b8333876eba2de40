//! The page that explains how the service works.

use rocket::get;
use rocket::response::content::RawHtml;
use rocket_dyn_templates::Template;

use super::layout::Layout;

#[get("/about")]
pub(super) fn about(layout: Layout<'_>) -> RawHtml<Template> {
    RawHtml(Template::render("about", layout))
}
