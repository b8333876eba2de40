//! A list that several tabs change at once.
//!
//! Run `cargo run -p rocket_server_sessions --example todo`, and open <http://localhost:8080>.

use rocket::form::Form;
use rocket::http::RawStr;
use rocket::response::Redirect;
use rocket::response::content::RawHtml;
use rocket::serde::{Deserialize, Serialize};
use rocket::{FromForm, get, launch, post, routes};
use rocket_server_sessions::{self as session, Key, Session};

/// Lenient: a value that an older release has stored in another form counts as missing.
const TODOS: Key<Vec<Todo>> = Key::new("todos").lenient();

#[derive(Serialize, Deserialize, FromForm)]
#[serde(crate = "rocket::serde")]
struct Todo {
    #[field(validate = len(1..=100))]
    text: String,
    #[serde(default)]
    done: bool,
}

#[get("/")]
async fn show(session: Session<'_>) -> session::Result<RawHtml<String>> {
    let todos = session.get_or_default(TODOS).await?;
    let item = |(at, todo): (usize, &Todo)| {
        let (text, mark) =
            (RawStr::new(&todo.text).html_escape(), if todo.done { "x" } else { " " });
        format!(
            "<li>[{mark}] {text} <form method=post action=/done/{at}><button>Done</button></form>"
        )
    };
    let items: String = todos.iter().enumerate().map(item).collect();
    Ok(RawHtml(format!(
        "<!doctype html><title>To do</title><ul>{items}</ul>\
         <form method=post action=/><input name=text required><button>Add</button></form>\
         <form method=post action=/clear><button>Clear</button></form>"
    )))
}

#[post("/", data = "<todo>")]
async fn add(todo: Form<Todo>, session: Session<'_>) -> session::Result<Redirect> {
    let Todo { text, done } = todo.into_inner();
    // Runs again if another tab has changed the list meanwhile.
    session.update(TODOS, |todos| todos.push(Todo { text: text.clone(), done })).await?;
    Ok(Redirect::to("/"))
}

#[post("/done/<at>")]
async fn done(at: usize, session: Session<'_>) -> session::Result<Option<Redirect>> {
    let mark = |todos: &mut Vec<Todo>| todos.get_mut(at).map(|todo| todo.done = true);
    Ok(session.update(TODOS, mark).await?.map(|()| Redirect::to("/")))
}

#[post("/clear")]
async fn clear(session: Session<'_>) -> session::Result<Redirect> {
    session.clear().await?;
    Ok(Redirect::to("/"))
}

#[launch]
pub(crate) fn rocket() -> _ {
    rocket::build()
        .attach(Session::fairing().require_same_origin())
        .mount("/", routes![show, add, done, clear])
}
