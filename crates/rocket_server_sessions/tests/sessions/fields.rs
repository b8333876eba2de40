//! Typed fields: what goes in comes out, and what does not fit is an error that names the field.

use rocket::http::Status;
use rocket::local::asynchronous::Client;
use rocket::{get, routes};
use rocket_server_sessions::{self as session, Error, Key, Session};

use crate::world::{COUNT, TEXT, World, figment, on_every_store};

#[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
struct Cart {
    items: Vec<(String, u32)>,
    note: Option<String>,
}

const CART: Key<Cart> = Key::new("cart");
const WRONG: Key<Vec<u8>> = Key::new("text:a");
const ODD: Key<f64> = Key::new("odd");

#[get("/typed")]
async fn typed(session: Session<'_>) -> Result<(), Error> {
    let cart = Cart { items: vec![("tea".into(), 2), ("\u{1f375}".into(), 0)], note: None };
    session.insert(CART, &cart).await?;
    assert_eq!(session.get(CART).await?, Some(cart));

    session.insert(TEXT.at("a"), &"text".to_owned()).await?;
    let error = session.get(WRONG).await.unwrap_err();
    assert!(matches!(&error, Error::Deserialize { field, .. } if field == "text:a"), "{error}");
    assert_eq!(error.status(), Status::InternalServerError);

    let error = session.increment(Key::<i64>::new("text").at("a"), 1).await.unwrap_err();
    assert!(matches!(&error, Error::NotAnInteger { field } if field == "text:a"), "{error}");
    assert_eq!(session.get(TEXT.at("a")).await?.as_deref(), Some("text"), "still as it was");

    let error = session.insert(Key::<Refusing>::new("refusing"), &Refusing).await.unwrap_err();
    assert!(matches!(&error, Error::Serialize { field, .. } if field == "refusing"), "{error}");
    session.insert(ODD, &0.1).await?;
    assert_eq!(session.get(ODD).await?, Some(0.1));
    Ok(())
}

#[get("/emptiness")]
async fn emptiness(session: Session<'_>) -> session::Result<()> {
    assert!(session.snapshot().await?.is_empty());
    session.log_in("alice", "phone").await?;
    assert!(session.snapshot().await?.is_empty(), "the layer's own fields do not count");
    session.increment(COUNT, 1).await?;
    assert!(!session.snapshot().await?.is_empty());
    session.remove(COUNT).await?;
    assert!(session.snapshot().await?.is_empty());
    Ok(())
}

/// A value that JSON cannot express.
struct Refusing;

impl serde::Serialize for Refusing {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

#[get("/batched")]
async fn batched(session: Session<'_>) -> session::Result<()> {
    let now = session
        .batch()
        .insert(TEXT, &"a".to_owned())
        .increment(COUNT, 2)
        .increment(COUNT, 3)
        .insert(ODD, &1.5)
        .remove(ODD)
        .commit()
        .await?;
    assert_eq!(now.get(COUNT)?, Some(5));
    assert_eq!(now.get(TEXT)?.as_deref(), Some("a"));
    assert_eq!((now.get(ODD)?, now.len()), (None, 2));
    let now = session.batch().remove(TEXT).increment(COUNT, -1).commit().await?;
    assert_eq!((now.get(TEXT)?, now.get(COUNT)?), (None, Some(4)));
    assert_eq!(session.snapshot().await?.get(COUNT)?, Some(4));

    let wrong = Key::<i64>::new("text");
    let batch = session.batch().insert(TEXT, &"x".to_owned()).increment(wrong, 1);
    let error = batch.increment(COUNT, 1).commit().await.unwrap_err();
    assert!(matches!(&error, Error::NotAnInteger { field } if field == "text"), "{error}");
    assert_eq!(session.get(COUNT).await?, Some(5), "the other changes stand");
    Ok(())
}

/// The handler at `path` finds everything as it should be.
async fn holds(path: &str) {
    let rocket = rocket::custom(figment())
        .attach(Session::fairing())
        .mount("/", routes![typed, batched, emptiness]);
    let client = Client::tracked(rocket).await.unwrap();
    assert_eq!(client.get(path).dispatch().await.status(), Status::Ok, "{path}");
}

on_every_store![
    async fn removed_field_is_gone_and_the_others_stay(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/set/a/one").await;
        visitor.get("/set/b/two").await;
        assert_eq!(visitor.body("/remove/a").await, "removed");
        assert_eq!(visitor.body("/text/a").await, "none");
        assert_eq!(visitor.body("/text/b").await, "two");
    }

    async fn value_past_its_limit_is_refused_and_nothing_changes(world: World) {
        let world = world.reconfigured("session.max_field_size", 10).await;
        let mut visitor = world.visitor();
        assert_eq!(visitor.get("/set/a/12345678").await.status, Status::Ok);
        assert_eq!(visitor.get("/set/a/123456789").await.status, Status::PayloadTooLarge);
        assert_eq!(visitor.body("/text/a").await, "12345678");
    }

    async fn record_past_its_limit_is_refused_and_the_old_value_stays(world: World) {
        let world = world.reconfigured("session.max_field_size", 30).await;
        let world = world.reconfigured("session.max_record_size", 50).await;
        let mut visitor = world.visitor();
        visitor.get("/set/a/aaaa").await;
        visitor.get("/set/b/bbbbbbbbbb").await;
        assert_eq!(visitor.get("/set/a/aaaaaaaaaaaaaaaaaaaaaaaaa").await.status.code, 413);
        assert_eq!(visitor.body("/text/a").await, "aaaa");
        assert_eq!(visitor.get("/set/c/cccccccccccccccccc").await.status.code, 413);
        assert_eq!(visitor.body("/text/c").await, "none");
        assert_eq!(visitor.body("/fields").await, "2");
    }

    async fn first_value_past_the_limit_makes_no_session(world: World) {
        let world = world.reconfigured("session.max_field_size", 10).await;
        let page = world.get("/set/a/1234567890", None).await;
        assert_eq!((page.status.code, page.set_cookies.len()), (413, 0));
        assert_eq!(world.store.round_trips(), 0);
    }

    async fn field_name_past_its_limit_is_refused(world: World) {
        let page = world.get(&format!("/count/{}", "x".repeat(250)), None).await;
        assert_eq!(page.status.code, 200, "256 bytes, with `count:`");
        let page = world.get(&format!("/count/{}", "x".repeat(251)), None).await;
        assert_eq!((page.status.code, page.set_cookies.len()), (413, 0));
        let page = world.get(&format!("/count/{}", "x".repeat(300)), None).await;
        assert_eq!((page.status.code, page.set_cookies.len()), (413, 0));
    }

    async fn record_at_its_limit_is_kept(world: World) {
        let world = world.reconfigured("session.max_field_size", 12).await;
        let world = world.reconfigured("session.max_record_size", 12).await;
        for (path, status) in [("/set/a/aaaa", 200), ("/set/a/bbbb", 200), ("/set/a/ccccc", 413)] {
            assert_eq!(world.get(path, None).await.status.code, status, "{path}");
        }
    }

    async fn counts_in_a_record_past_its_limit_go_on(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/view/a").await;
        visitor.get("/view/b").await;
        let cookie = visitor.cookie.clone();
        let world = world.reconfigured("session.max_field_size", 10).await;
        let world = world.reconfigured("session.max_record_size", 10).await;
        let mut visitor = world.visitor();
        visitor.cookie = cookie;
        assert_eq!(visitor.body("/view/a").await, "2", "it does not grow");
        assert_eq!(visitor.get("/view/c").await.status.code, 413);
        assert_eq!(visitor.body("/view/b").await, "2");
    }
];

#[rocket::async_test]
async fn values_of_any_type_come_back_and_wrong_types_name_the_field() {
    holds("/typed").await;
    holds("/batched").await;
}

#[rocket::async_test]
async fn session_without_a_field_of_the_applications_is_empty() {
    holds("/emptiness").await;
}

#[test]
fn keys_and_fields_are_shown_by_their_names() {
    assert!(format!("{TEXT:?}").contains("text"));
    assert!(format!("{:?}", TEXT.at("a")).contains("text:a"));
}

#[test]
fn error_of_a_wrong_type_shows_no_field() {
    let source = serde_json::from_str::<i64>("\"alice@example.com\"").unwrap_err();
    let error = Error::Deserialize { field: "mail".into(), source };
    assert!(!error.to_string().contains("alice"), "{error}");
}
