//! Configurations that must fail the launch, with an error that says why.

use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket};
use rocket_server_sessions::{Config, Key, Session};

use crate::world::{figment, routes};

async fn launches(figment: Figment) -> bool {
    let rocket = rocket::custom(figment).attach(Session::fairing()).mount("/", routes());
    is_launched(rocket).await
}

/// Rocket's error panics if it is dropped without being inspected.
async fn is_launched(rocket: rocket::Rocket<rocket::Build>) -> bool {
    Client::untracked(rocket).await.inspect_err(|error| drop(error.to_string())).is_ok()
}

fn errors(figment: &Figment) -> String {
    let errors = Config::extract(figment).expect_err("the configuration is wrong");
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Counts responses in the session, whether a handler has used it or not.
fn counting_fairing() -> AdHoc {
    AdHoc::on_response("count", |request, response| {
        Box::pin(async move {
            let count = Session::of(request).unwrap().increment(RESPONSES, 1).await.unwrap();
            response.set_raw_header("X-Count", count.to_string());
        })
    })
}

const RESPONSES: Key<u32> = Key::new("responses");

#[rocket::async_test]
async fn response_fairings_may_begin_a_session_in_any_order() {
    let orders: [fn(Rocket<Build>) -> Rocket<Build>; 2] = [
        |rocket| rocket.attach(Session::fairing()).attach(counting_fairing()),
        |rocket| rocket.attach(counting_fairing()).attach(Session::fairing()),
    ];
    for attach in orders {
        let client = Client::tracked(attach(rocket::custom(figment()))).await.unwrap();
        for expected in ["1", "2", "3"] {
            let response = client.get("/none").dispatch().await;
            assert_eq!(response.headers().get_one("X-Count"), Some(expected));
        }
    }
}

#[rocket::async_test]
async fn defaults_launch() {
    assert!(launches(figment()).await);
    assert!(launches(figment().merge(("session.url", ""))).await, "an empty URL counts as unset");
}

#[rocket::async_test]
async fn route_without_the_fairing_fails_the_launch() {
    #[rocket::get("/session")]
    fn session(_guard: rocket_server_sessions::Session<'_>) {}

    #[rocket::get("/users")]
    fn users(_guard: rocket_server_sessions::UserSessions<'_>) {}

    #[rocket::get("/user")]
    fn user(_guard: rocket_server_sessions::User) {}

    for routes in [rocket::routes![session], rocket::routes![users], rocket::routes![user]] {
        assert!(!is_launched(rocket::custom(figment()).mount("/", routes)).await);
    }
}

#[rocket::async_test]
async fn misspelt_key_fails_the_launch_and_is_named() {
    let figment = figment().merge(("session.idel_timeout", 60));
    let message = errors(&figment);
    assert!(message.contains("idel_timeout") && message.contains("idle_timeout"), "{message}");
    assert!(!launches(figment).await);
}

#[rocket::async_test]
async fn invalid_values_fail_the_launch_and_are_named() {
    let wrong: [(&str, figment::value::Value); 27] = [
        ("idle_timeout", 0.into()),
        ("idle_timeout", "soon".into()),
        ("idle_timeout", (-5).into()),
        ("first_idle_timeout", "401days".into()),
        ("absolute_lifetime", 5.into()),
        ("absolute_lifetime", "401days".into()),
        ("cookie_domain", "example.com".into()),
        ("remember_me", "yes".into()),
        ("prefix", "".into()),
        ("prefix", "a{b}".into()),
        ("prefix", "a b".into()),
        ("cookie_name", "".into()),
        ("cookie_name", "a b".into()),
        ("cookie_name", "__Host-a;b".into()),
        ("insecure_http", "yes".into()),
        ("same_site", "Relaxed".into()),
        ("cookie_domain", "example.com".into()),
        ("deadline", 0.into()),
        ("connections", 0.into()),
        ("connections", "many".into()),
        ("queue", 0.into()),
        ("memory_capacity", 0.into()),
        ("max_field_size", 0.into()),
        ("max_record_size", 0.into()),
        ("previous_keys", vec!["short"].into()),
        ("previous_keys", vec!["AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw=="].into()),
        ("previous_keys", vec!["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="].into()),
    ];
    for (key, value) in wrong {
        let figment = figment().merge((format!("session.{key}"), value.clone()));
        let message = errors(&figment);
        assert!(message.contains(key), "{key} = {value:?}: {message}");
        assert!(!launches(figment).await, "{key} = {value:?}");
    }
}

#[test]
fn configuration_is_shown_with_the_address_of_redis_and_without_secrets() {
    let figment = figment()
        .merge(("session.url", "rediss://default:hunter2@redis.example:6379"))
        .merge(("session.previous_keys", vec![crate::world::KEY]));
    let text = format!("{:?}", Config::extract(&figment).unwrap());
    assert!(text.contains("rediss://redis.example:6379"), "{text}");
    assert!(text.contains("previous_keys: [SecretKey"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains(crate::world::KEY), "{text}");
}

#[rocket::async_test]
async fn wrong_url_fails_the_launch_without_showing_the_password() {
    for url in [
        "hunter2",
        "http://default:hunter2@127.0.0.1",
        "redis://default:hunter2@127.0.0.1:notaport",
        "redis://default:hunter2@127.0.0.1/notadatabase",
        "redis://default:hunter2@127.0.0.1?db=2",
        "redis://default:hunter2@127.0.0.1?tls=true",
        "redis://default:pass#hunter2@127.0.0.1",
        "rediss://default:hunter2@127.0.0.1#insecure",
        "redis://default:hunter2@eu1-quick-fox-1.upstash.io:6379",
        "unix:///hunter2",
        "redis-herd://default:hunter2@127.0.0.1",
        "redis-cluster://default:hunter2@127.0.0.1/1",
        "redis-cluster://default:hunter2@127.0.0.1?node=",
        "redis-cluster://default:hunter2@127.0.0.1?nodes=127.0.0.1:6379",
        "redis-cluster://default:x@127.0.0.1?sentinelPassword=hunter2",
        "redis-cluster://default:hunter2@127.0.0.1?sentinelServiceName=main",
        "redis-cluster://default:hunter2@127.0.0.1?node=redis://127.0.0.1:7",
        "redis-cluster://default:x@127.0.0.1?node=u:hunter2@127.0.0.1:7",
        "redis-cluster://default:hunter2@127.0.0.1?node=a:1/x",
        "redis-cluster://default:hunter2@127.0.0.1:7,127.0.0.1:8",
        "redis-cluster://hunter2@127.0.0.1:7",
        "redis://hunter2@127.0.0.1:7",
        "redis-sentinel://default:hunter2@127.0.0.1",
        "redis-sentinel://h?sentinelServiceName=a&sentinelServiceName=b&sentinelPassword=x@hunter2",
        "redis-sentinel://h?sentinelServiceName=a&sentinelUsername=hunter2",
        "redis-sentinel://default:x@127.0.0.1?sentinelServiceName=&sentinelPassword=hunter2",
        "rediss-sentinel://x:y@127.0.0.1?sentinelServiceName=a&node=a..b:1&sentinelPassword=hunter2",
    ] {
        let figment = figment().merge(("session.url", url));
        let message = errors(&figment);
        assert!(message.starts_with("`session.url` ") && !message.contains("hunter2"), "{message}");
        assert!(!launches(figment).await, "{url}");
    }
}

#[rocket::async_test]
async fn urls_of_clusters_and_sentinels_launch() {
    for url in [
        "redis-cluster://127.0.0.1:7000",
        "rediss-cluster://user:word@a.example:7000/0?node=b.example:7000&node=c.example",
        "redis-sentinel://user:word@127.0.0.1/2?sentinelServiceName=main",
        "rediss-sentinel://[::1]:1?sentinelServiceName=main&node=[::1]:2&sentinelPassword=p%26q",
    ] {
        assert!(launches(figment().merge(("session.url", url))).await, "{url}");
    }
}

#[rocket::async_test]
async fn release_on_redis_needs_a_secret_key_and_on_memory_does_not() {
    let release = || {
        Figment::from(rocket::Config {
            log_level: rocket::config::LogLevel::Off,
            ..rocket::Config::release_default()
        })
        .select("release")
    };
    assert!(launches(release()).await);
    let redis = || release().merge(("session.url", "redis://127.0.0.1:1"));
    assert!(!launches(redis()).await);
    for key in [
        "hPRYyVRiMyxpw5sBB1XeCMN1kFsDCqKvBi2QJxBVHQk=",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "short",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        assert!(!launches(redis().merge(("secret_key", key))).await, "{key}");
        assert!(!launches(release().merge(("secret_key", key))).await, "{key}");
    }
    assert!(launches(redis().merge(("secret_key", crate::world::KEY))).await);
}

#[test]
fn refused_settings_show_no_secret() {
    for (key, value) in [
        ("session", "{url=\"rediss://default:HUNTER2@host:6379\""),
        ("session.previous_keys", "HUNTER2HUNTER2HUNTER2HUNTER2HUNTER2HUNTER2HU="),
    ] {
        let errors = Config::extract(&figment().merge((key, value))).unwrap_err();
        let text = errors.iter().map(ToString::to_string).collect::<String>();
        assert!(!text.contains("HUNTER2"), "{text}");
    }
}

#[cfg(not(feature = "sqlite"))]
#[rocket::async_test]
async fn file_in_a_build_without_sqlite_fails_the_launch_and_the_check_names_the_feature() {
    let figment = figment().merge(("session.url", "sqlite:sessions.db"));
    assert!(!launches(figment.clone()).await);
    let report = rocket_server_sessions::check(&figment).to_string();
    assert!(report.contains("build with `--features sqlite`"), "{report}");
}
