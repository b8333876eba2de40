//! Sessions outside of a request: in jobs, tasks and command-line tools.

use rocket::http::Status;
use rocket::local::asynchronous::Client;
use rocket::{get, routes};
use rocket_server_sessions::testing::force_log_in;
use rocket_server_sessions::{Error, Session, Sessions, User};

use crate::world::{Visitor, World, figment, new_prefix, on_every_store, redis_store};

fn sessions(world: &World) -> Sessions {
    world.client.rocket().state::<Sessions>().unwrap().clone()
}

on_every_store![
    async fn job_lists_and_destroys_the_sessions_of_a_user(world: World) {
        let [mut phone, mut laptop, mut other]: [Visitor<'_>; 3] =
            std::array::from_fn(|_| world.visitor());
        phone.get("/log-in/alice/phone").await;
        laptop.get("/log-in/alice/laptop").await;
        other.get("/log-in/bob/phone").await;
        let sessions = sessions(&world);
        let active = sessions.users().list("alice").await.unwrap();
        let mut labels: Vec<_> = active.iter().map(|it| it.label.as_str()).collect();
        labels.sort_unstable();
        assert_eq!(labels, ["laptop", "phone"]);
        let id = active.iter().find(|it| it.label == "phone").unwrap().id;
        assert!(sessions.users().destroy("alice", id).await.unwrap());
        assert_eq!(phone.body("/user-only").await, "none");
        assert_eq!(sessions.users().destroy_all("alice").await.unwrap(), 1);
        assert_eq!(laptop.body("/user-only").await, "none");
        assert_eq!(other.body("/user-only").await, "bob");
    }

    async fn task_can_use_a_session_after_the_response(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/count/a").await;
        assert_eq!(visitor.body("/spawn/count").await, "started");
        world.gate.reached().await;
        assert_eq!(visitor.body("/peek/a").await, "1");
        world.gate.open();
        world.gate.reached().await;
        assert_eq!(visitor.body("/peek/a").await, "2");
        world.gate.open();
    }

    async fn task_after_the_response_creates_no_session(world: World) {
        let mut visitor = world.visitor();
        let page = visitor.get("/spawn/count").await;
        assert_eq!(page.set_cookies.len(), 0);
        world.gate.reached().await;
        world.gate.open();
        world.gate.reached().await;
        assert_eq!(world.keys.all(), Vec::<String>::new());
        assert_eq!(world.store.round_trips(), 0);
        world.gate.open();
    }

    async fn forced_log_in_works_like_any_other(world: World) {
        let cookie = force_log_in(world.client.rocket(), "alice").await.unwrap();
        let mut visitor = world.visitor();
        visitor.cookie = Some(cookie.value().to_owned());
        assert_eq!(visitor.body("/user").await, "alice");
        assert_eq!(visitor.body("/count/a").await, "1");
        assert_eq!(sessions(&world).users().list("alice").await.unwrap().len(), 1);
        let error = force_log_in(world.client.rocket(), "").await.unwrap_err();
        assert!(matches!(error, Error::EmptyUser), "{error}");
    }
];

#[get("/")]
fn index(user: User) -> String {
    user.name
}

#[rocket::async_test]
async fn command_line_destroys_the_sessions_of_a_running_application() {
    let prefix = new_prefix();
    let fairing = || Session::fairing().store(redis_store(&prefix));
    let rocket = rocket::custom(figment()).attach(fairing()).mount("/", routes![index]);
    let client = Client::untracked(rocket).await.unwrap();
    let cookie = force_log_in(client.rocket(), "alice").await.unwrap();
    assert_eq!(client.get("/").cookie(cookie.clone()).dispatch().await.status(), Status::Ok);

    let command_line = fairing().open(&figment()).unwrap();
    assert_eq!(command_line.users().destroy_all("alice").await.unwrap(), 1);
    let response = client.get("/").cookie(cookie).dispatch().await;
    assert_eq!(response.status(), Status::Unauthorized);
}

#[test]
fn command_line_reports_invalid_settings() {
    let figment = figment().merge(("session.idle_timeout", "soon"));
    let errors = Session::fairing().open(&figment).err().unwrap();
    assert!(errors[0].to_string().contains("idle_timeout"), "{errors:?}");
}
