//! Typed fields: values are read as they were written, and errors name the field.

use rocket::http::Status;
use rocket::local::asynchronous::Client;
use rocket::tokio::join;
use rocket::{get, routes};
use rocket_server_sessions::{self as session, Error, Key, Session};

use crate::world::{COUNT, Held, TEXT, World, figment, on_every_store};

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
    assert!(matches!(&error, Error::NotAnInteger { field, .. } if field == "text:a"), "{error}");
    assert_eq!(session.get(TEXT.at("a")).await?.as_deref(), Some("text"), "it was not changed");

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
    assert!(session.snapshot().await?.is_empty(), "the crate's own fields do not count");
    session.increment(COUNT, 1).await?;
    assert!(!session.snapshot().await?.is_empty());
    session.remove(COUNT).await?;
    assert!(session.snapshot().await?.is_empty());
    Ok(())
}

const SMALL: Key<u8> = Key::new("small");
const ITEMS: Key<u32> = Key::new("cart");
const LIST: Key<Vec<u8>> = Key::new("list");

#[get("/values")]
async fn values(session: Session<'_>) -> session::Result<()> {
    let (owned, slice) = ("owned".to_owned(), [1_u8, 2]);
    session.insert(TEXT, "literal").await?;
    assert_eq!(session.get(TEXT).await?.as_deref(), Some("literal"));
    session.insert(TEXT, &owned).await?;
    session.insert(TEXT, owned.clone()).await?;
    assert_eq!(session.get(TEXT).await?, Some(owned));
    session.insert(LIST, vec![]).await?;
    assert_eq!(session.get(LIST).await?, Some(vec![]));
    session.insert(LIST, &slice[..]).await?;
    session.insert(SMALL, 7).await?;
    let now = session.batch().insert(TEXT, "batched").insert(ITEMS, 2).commit().await?;
    assert_eq!(now.get(TEXT)?.as_deref(), Some("batched"));
    assert_eq!((now.get(ITEMS)?, now.get(LIST)?), (Some(2), Some(slice.to_vec())));
    Ok(())
}

/// A sum that does not fit into the key's type is refused.
#[get("/ranges")]
async fn ranges(session: Session<'_>) -> session::Result<()> {
    let sum: u8 = session.increment(SMALL, 250).await?;
    assert_eq!(sum, 250);
    let error = session.increment(SMALL, 6).await.unwrap_err();
    assert!(error.to_string().contains("`small` was not incremented"), "{error}");
    assert!(error.to_string().ends_with("u8"), "{error}");
    assert_eq!(error.status(), Status::InternalServerError);
    assert_eq!(session.get(SMALL).await?, Some(250));

    let batch = session.batch().increment(ITEMS.at("tea"), -1).increment(COUNT, 2);
    let error = batch.commit().await.unwrap_err();
    let is_right =
        |error: &Error| matches!(error, Error::OutOfRange { field, .. } if field == "cart:tea");
    assert!(is_right(&error), "{error}");
    let now = session.snapshot().await?;
    assert_eq!((now.get(ITEMS.at("tea"))?, now.get(COUNT)?), (None, Some(2)));
    let biggest = Key::<u64>::new("biggest");
    session.increment(biggest, i64::MAX).await?;
    let error = session.increment(biggest, 1).await.unwrap_err();
    assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    Ok(())
}

#[get("/family")]
async fn family(session: Session<'_>) -> session::Result<()> {
    assert_eq!(session.get_or_default(LIST).await?, Vec::<u8>::new());
    assert!(!session.contains_key(ITEMS).await?);
    session.log_in("alice", "phone").await?;
    let batch = session.batch().increment(ITEMS.at("tea"), 2).increment(ITEMS.at("a:b"), 1);
    let now =
        batch.insert(ITEMS, 9).insert(TEXT, "x").insert(Key::new("cart2"), 1).commit().await?;
    assert_eq!(now.items(ITEMS)?, [("a:b", 1), ("tea", 2)]);
    assert_eq!(now.items(LIST)?, []);
    assert_eq!(now.keys().collect::<Vec<_>>(), ["cart", "cart2", "cart:a:b", "cart:tea", "text"]);
    assert!(now.contains_key(ITEMS.at("tea")) && !now.contains_key(ITEMS.at("milk")));
    assert_eq!(now.get_or_default(ITEMS.at("milk"))?, 0);
    assert_eq!((now.get_json("text"), now.get_json("none")), (Some("\"x\""), None));
    assert_eq!(now.get_json("@user"), None, "the crate's own fields are not shown");
    assert!(session.contains_key(ITEMS.at("tea")).await?);
    session.insert(TEXT.at("tea"), "not a number").await?;
    let wrong = session.snapshot().await?.items(Key::<u32>::new("text")).map(drop);
    assert!(matches!(&wrong, Err(Error::Deserialize { field, .. }) if field == "text:tea"));
    Ok(())
}

#[get("/without-items")]
async fn without_items(session: Session<'_>) -> session::Result<()> {
    session.remove_items(ITEMS).await?;
    assert_eq!(session.info(), None, "removing nothing creates no session");
    session.log_in("alice", "phone").await?;
    session.remove_items(ITEMS).await?;
    let batch = session.batch().insert(ITEMS.at("tea"), 2).insert(ITEMS.at("a:b"), 1);
    batch.insert(ITEMS, 9).insert(Key::new("cart2:x"), 1).insert(TEXT, "x").commit().await?;
    session.remove_items(ITEMS).await?;
    let now = session.snapshot().await?;
    assert_eq!(now.keys().collect::<Vec<_>>(), ["cart", "cart2:x", "text"]);
    assert_eq!(now.user().map(|it| it.name).as_deref(), Some("alice"));
    session.insert(ITEMS.at("one"), 1).await?;
    session.remove_items(ITEMS).await?;
    assert_eq!(session.snapshot().await?.items(ITEMS)?, []);
    Ok(())
}

#[get("/sorted")]
async fn sorted(session: Session<'_>) -> session::Result<()> {
    let mut batch = session.batch();
    for id in [9, 10] {
        batch = batch.insert(ITEMS.at(id), id).insert(SMALL.at(format!("{id:010}")), 0);
    }
    let now = batch.commit().await?;
    assert_eq!(now.items(ITEMS)?, [("10", 10), ("9", 9)]);
    assert_eq!(now.items(SMALL)?, [("0000000009", 0), ("0000000010", 0)]);
    Ok(())
}

#[get("/cleared")]
async fn cleared(session: Session<'_>) -> session::Result<()> {
    session.clear().await?;
    assert_eq!(session.info(), None, "clearing nothing creates no session");
    session.insert(TEXT, "x").await?;
    session.increment(COUNT, 1).await?;
    session.log_in("alice", "phone").await?;
    let before = session.info().unwrap();
    session.clear().await?;
    assert!(session.snapshot().await?.is_empty());
    assert_eq!(session.user().await?.unwrap().name, "alice");
    assert_eq!(session.info().unwrap().id, before.id);
    assert_eq!(session.increment(COUNT, 1).await?, 1);
    let now = session.batch().insert(ODD, 1.5).clear().insert(TEXT, "y").commit().await?;
    assert_eq!(now.keys().collect::<Vec<_>>(), ["text"]);
    assert_eq!(session.snapshot().await?.user().unwrap().name, "alice");
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
        .insert(TEXT, "a")
        .increment(COUNT, 2)
        .increment(COUNT, 3)
        .insert(ODD, 1.5)
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
    let batch = session.batch().insert(TEXT, "x").increment(wrong, 1);
    let error = batch.increment(COUNT, 1).commit().await.unwrap_err();
    assert!(matches!(&error, Error::NotAnInteger { field, .. } if field == "text"), "{error}");
    assert_eq!(session.get(COUNT).await?, Some(5), "the other changes were made");
    Ok(())
}

/// Requests `path`, whose handler makes the assertions.
async fn holds(path: &str) {
    let rocket = rocket::custom(figment()).attach(Session::fairing()).mount(
        "/",
        routes![typed, batched, emptiness, values, ranges, family, without_items, sorted, cleared],
    );
    let client = Client::tracked(rocket).await.unwrap();
    assert_eq!(client.get(path).dispatch().await.status(), Status::Ok, "{path}");
}

on_every_store![
    async fn removed_items_are_gone_and_the_rest_stays(world: World) {
        let mut visitor = world.visitor();
        for path in ["/set/a/x", "/set/b/y", "/count/a", "/remove-items"] {
            assert_eq!(visitor.get(path).await.status, Status::Ok, "{path}");
        }
        assert_eq!(visitor.body("/fields").await, "1");
        assert_eq!(visitor.body("/peek/a").await, "1");
    }

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

    async fn counters_in_a_record_past_its_limit_still_count(world: World) {
        let mut visitor = world.visitor();
        visitor.get("/view/a").await;
        visitor.get("/view/b").await;
        let cookie = visitor.cookie.clone();
        let world = world.reconfigured("session.max_field_size", 10).await;
        let world = world.reconfigured("session.max_record_size", 10).await;
        let mut visitor = world.visitor();
        visitor.cookie = cookie;
        assert_eq!(visitor.body("/view/a").await, "2", "the record does not grow");
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
async fn values_are_taken_by_value_or_by_reference() {
    holds("/values").await;
}

#[rocket::async_test]
async fn sum_that_does_not_fit_its_type_is_refused() {
    holds("/ranges").await;
}

#[rocket::async_test]
async fn items_of_a_family_are_listed_and_others_are_not() {
    holds("/family").await;
}

#[rocket::async_test]
async fn item_that_is_added_while_all_are_removed_stays() {
    let world = World::holding(Held::Update).await;
    let mut visitor = world.visitor();
    visitor.get("/set/a/x").await;
    let mut other = visitor.clone();
    let gate = &world.gate;
    let between = async {
        gate.reached().await;
        let steps = async {
            gate.reached().await;
            // The items are removed after the addition.
            gate.open();
            gate.reached().await;
            gate.open();
            gate.open();
        };
        join!(other.get("/set/b/y"), steps).0
    };
    let (removed, added) = join!(visitor.get("/remove-items"), between);
    assert_eq!((removed.status, added.status), (Status::Ok, Status::Ok));
    for (path, text) in [("/text/a", "none"), ("/text/b", "y")] {
        assert_eq!(visitor.get_held(path, async || {}).await.body, text, "{path}");
    }
}

#[rocket::async_test]
async fn items_are_removed_and_nothing_else_is() {
    holds("/without-items").await;
}

#[rocket::async_test]
async fn items_are_sorted_as_text() {
    holds("/sorted").await;
}

#[rocket::async_test]
async fn cleared_session_keeps_its_id_and_its_log_in() {
    holds("/cleared").await;
}

#[rocket::async_test]
async fn session_without_application_fields_is_empty() {
    holds("/emptiness").await;
}

#[test]
fn debug_of_keys_and_fields_shows_their_names() {
    assert!(format!("{TEXT:?}").contains("text"));
    assert!(format!("{:?}", TEXT.at("a")).contains("text:a"));
}
