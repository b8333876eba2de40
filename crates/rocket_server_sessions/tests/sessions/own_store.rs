//! An application with its own store.

use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket_server_sessions::Session;
use rocket_server_sessions::store::Memory;

use crate::world::{KEY, new_prefix, redis_store};

fn release() -> Figment {
    let config = rocket::Config {
        log_level: rocket::config::LogLevel::Off,
        ..rocket::Config::release_default()
    };
    Figment::from(config).select("release")
}

#[rocket::async_test]
async fn release_with_a_custom_shared_store_needs_a_secret_key() {
    let launches = async |figment: Figment| {
        let sessions = Session::fairing().store(redis_store(&new_prefix()));
        let launch = Client::untracked(rocket::custom(figment).attach(sessions)).await;
        launch.inspect_err(|error| drop(error.to_string())).is_ok()
    };
    assert!(!launches(release()).await, "each instance would generate its own key");
    assert!(launches(release().merge(("secret_key", KEY))).await);
}

#[rocket::async_test]
async fn release_with_a_custom_memory_store_needs_no_secret_key() {
    let sessions = Session::fairing().store(Memory::new(100));
    assert!(Client::untracked(rocket::custom(release()).attach(sessions)).await.is_ok());
}
