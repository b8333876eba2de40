//! Plain http in development, and https everywhere else.

use test_support::app::{App, KEY, run_to_end, send};
use test_support::wait_for;

/// The `Set-Cookie` header of a first view, and the log of the launch.
fn first_view(env: &[(&str, &str)]) -> (String, String) {
    let app = App::start(env);
    wait_for("the launch", || app.log().contains("has launched"));
    let reply = app.visitor().get("/foo");
    (reply.header("set-cookie").unwrap().to_owned(), app.log())
}

#[test]
fn debug_profile_sets_a_cookie_that_works_over_plain_http_and_says_so_in_one_line() {
    let (cookie, log) = first_view(&[]);
    assert!(cookie.starts_with("session=") && !cookie.contains("Secure"), "{cookie}");
    let lines: Vec<_> = log.lines().filter(|it| it.contains("plain http")).collect();
    assert!(matches!(lines[..], [line] if line.starts_with("INFO") && line.contains("`session`")));
}

#[test]
fn any_other_profile_sets_a_secure_cookie_with_the_prefix() {
    for profile in ["release", "staging"] {
        let (cookie, log) = first_view(&[("ROCKET_PROFILE", profile)]);
        assert!(cookie.starts_with("__Host-session=") && cookie.contains("; Secure"), "{cookie}");
        assert!(!log.contains("plain http"), "{log}");
    }
}

#[test]
fn insecure_http_outside_development_is_warned_of_at_launch() {
    let env = [("ROCKET_PROFILE", "release"), ("ROCKET_SESSION", "{insecure_http=true}")];
    let (cookie, log) = first_view(&env);
    assert!(cookie.starts_with("session=") && !cookie.contains("Secure"), "{cookie}");
    assert_eq!(log.matches("WARN `insecure_http` is set").count(), 1, "{log}");
}

#[test]
fn cloud_run_says_by_itself_that_requests_come_by_https() {
    let app = App::start(&[("K_SERVICE", "s"), ("ROCKET_SECRET_KEY", KEY)]);
    let hsts = |proto: &str| {
        let head = format!("GET /about HTTP/1.1\r\nHost: localhost\r\n{proto}");
        let reply = send(app.port, &head);
        reply.header("strict-transport-security").map(str::to_owned)
    };
    assert_eq!(hsts("").as_deref(), Some("max-age=63072000"));
    assert_eq!(hsts("X-Forwarded-Proto: http\r\n"), None, "before its redirect");
}

#[test]
fn wrong_hsts_ends_the_launch_and_names_the_key_the_place_and_the_form() {
    let (succeeded, log) = run_to_end(&[("ROCKET_HSTS", "includeSubDomains")]);
    assert!(!succeeded && log.lines().filter(|it| it.starts_with("ERROR")).count() == 1, "{log}");
    assert!(log.contains("ERROR `hsts` must be empty or begin with `max-age=`"), "{log}");
    assert!(log.contains("ROCKET_HSTS"), "{log}");
}

#[test]
fn cloud_run_gets_a_secure_cookie_in_every_profile_and_refuses_another() {
    let cloud_run = [("K_SERVICE", "s"), ("ROCKET_SECRET_KEY", KEY)];
    let (cookie, _) = first_view(&cloud_run);
    assert!(cookie.starts_with("__Host-session=") && cookie.contains("; Secure"), "{cookie}");
    for profile in ["debug", "release"] {
        let insecure = [("ROCKET_PROFILE", profile), ("ROCKET_SESSION", "{insecure_http=true}")];
        let (succeeded, log) = run_to_end(&[&cloud_run[..], &insecure].concat());
        assert!(!succeeded && log.contains("`session.insecure_http` is `true`"), "{log}");
        assert!(log.contains("K_SERVICE") && log.contains("remove the setting"), "{log}");
    }
}
