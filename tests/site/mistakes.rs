//! Mistakes in the environment: each is reported with its place and remedy, and none is ignored.

use std::process::Command;

use test_support::app::KEY;
use test_support::target_dir;

/// The findings of `check`, except those about a store in memory and a missing key.
fn findings(env: &[(&str, &str)]) -> Vec<String> {
    let mut command = Command::new(target_dir().join("cloud-run-sessions"));
    command.arg("check").current_dir("/").env_clear().envs(env.iter().copied());
    let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let is_finding = |line: &&str| {
        (line.starts_with("FAIL") || line.starts_with("warn"))
            && !line.contains("set ROCKET_SECRET_KEY to")
            && !line.contains("sessions live in this process's memory")
    };
    shown.lines().filter(is_finding).map(str::to_owned).collect()
}

/// There is one finding, which has this verdict and contains these words.
fn assert_told(env: &[(&str, &str)], verdict: &str, words: &str) {
    let found = findings(env);
    assert!(found.len() == 1, "{env:?}: {found:?}");
    assert!(found[0].starts_with(verdict) && found[0].contains(words), "{env:?}: {found:?}");
    assert!(!found[0].contains("hunter2") && !found[0].contains(KEY), "{found:?}");
}

#[test]
fn url_that_is_no_url_of_redis_is_refused_with_what_it_is() {
    for (url, told) in [
        ("https://eu1-x-1.upstash.io", "is for Upstash's REST API; use the URL that begins with"),
        ("http://u:hunter2@h:6379", "must begin with `redis://`"),
        ("\"redis://u:hunter2@h\"", "is in quotes; remove them"),
        ("redis-cli --tls -u redis://u:hunter2@h:6379", "is a command; use only the URL in it"),
        ("${REDIS_URL}", "a variable was not expanded"),
        ("h:6379", "write `rediss://user:password@host:6379`"),
        ("redis://u:hunter2@h:6379 redis://u:hunter2@i", "contains white space"),
    ] {
        let env = [("REDIS_URL", url), ("ROCKET_SECRET_KEY", KEY)];
        assert_told(&env, "FAIL", told);
        assert_told(&env, "FAIL", "(set in the environment variable REDIS_URL)");
    }
}

#[test]
fn url_in_capitals_or_with_a_line_break_at_its_end_is_right() {
    for url in ["Redis://127.0.0.1:1", "redis://127.0.0.1:1\n"] {
        let env = [("REDIS_URL", url), ("ROCKET_SECRET_KEY", KEY)];
        assert_told(&env, "FAIL", "nothing listens there");
    }
}

#[test]
fn variable_with_a_wrong_name_is_told_with_the_right_one() {
    for (name, right) in [
        ("REDIS_URI", "REDIS_URL"),
        ("redis_url", "REDIS_URL"),
        ("UPSTASH_REDIS_REST_URL", "REDIS_URL"),
        ("SECRET_KEY", "ROCKET_SECRET_KEY"),
        ("PREVIOUS_SECRET_KEY", "PREVIOUS_SECRET_KEYS"),
    ] {
        let told = format!("the environment variable {name} has no effect; did you mean {right}?");
        assert_told(&[(name, "hunter2")], "warn", &told);
    }
    let right = [("REDIS_URI", "x"), ("REDIS_URL", "redis://127.0.0.1:1")];
    assert!(findings(&right).iter().all(|it| !it.contains("REDIS_URI")), "it may be another's");
    let setting = [("ROCKET_SESSION_IDLE_TIMEOUT", "1h")];
    assert_told(&setting, "warn", "one variable: ROCKET_SESSION='{idle_timeout=…}'");
}

#[test]
fn limit_that_nothing_reads_is_told_with_those_that_there_are() {
    let told =
        "the limit `from` in `limits` has no effect; the limits are bytes, data-form, file, form";
    assert_told(&[("ROCKET_LIMITS", "{from=\"8KiB\"}")], "warn", told);
    assert_eq!(findings(&[("ROCKET_LIMITS", "{form=\"8KiB\"}")]), [""; 0]);
}

#[test]
fn duration_that_is_none_is_refused_and_none_is_taken_for_another_unit() {
    for text in ["20", "never", "-5m", "1 fortnight"] {
        let session = format!("{{idle_timeout=\"{text}\"}}");
        assert_told(&[("ROCKET_SESSION", &session)], "FAIL", "\"90s\", \"15m\" or \"1day\"");
    }
    for number in ["-5", "90.5", "86400000", "true"] {
        let session = format!("{{idle_timeout={number}}}");
        assert_told(&[("ROCKET_SESSION", &session)], "FAIL", "a number of seconds");
    }
    assert_eq!(findings(&[("ROCKET_SESSION", "{idle_timeout=\"20 min\"}")]), [""; 0]);
}

#[test]
fn setting_that_is_set_twice_is_refused() {
    let twice = "{idle_timeout=\"1h\",idle_timeout=\"2h\"}";
    assert_told(&[("ROCKET_SESSION", twice)], "FAIL", "sets `idle_timeout` twice");
}

#[test]
fn key_of_another_form_is_refused() {
    let form = "must be 32 or 64 random bytes in base64, as `openssl rand -base64 32` prints them";
    for key in ["changeme", "abcdef0123456789", "$(openssl rand -base64 32)", &"1".repeat(64)] {
        assert_told(&[("ROCKET_SECRET_KEY", key)], "FAIL", form);
    }
    for separator in [" ", "\n", ";"] {
        let keys = [KEY, KEY].join(separator);
        let env = [("ROCKET_SECRET_KEY", KEY), ("PREVIOUS_SECRET_KEYS", &*keys)];
        assert_told(&env, "FAIL", "separated by commas");
    }
}

#[test]
fn setting_of_rocket_that_cannot_be_used_is_told_in_plain_words() {
    for (name, value, told) in [
        ("ROCKET_ADDRESS", "localhost", "`address` must be an IP address, such as 127.0.0.1"),
        ("ROCKET_ADDRESS", "0.0.0.0:8080", "the port is a setting of its own"),
        ("ROCKET_WORKERS", "0", "`workers` is invalid: there must be 1 or more"),
        ("ROCKET_KEEP_ALIVE", "-1", "`keep_alive` must be a whole number, 0 or more; it is -1"),
        ("PORT", "", "`port` must be a number from 0 to 65535; it is \"\""),
        ("PORT", "tcp://10.0.0.1:80", "`port` must be a number from 0 to 65535"),
        ("ROCKET_CONFIG", "/tmp", "ROCKET_CONFIG names `/tmp`, which is not a file"),
        ("RUST_LOG", "warning", "RUST_LOG contains `warning`, which is not a level"),
        (
            "RUST_LOG",
            " wran",
            "contains `wran`, which is not a level; the levels are off, error, warn",
        ),
        ("RUST_LOG", "info,rocket", "contains `rocket`, which is not a level"),
        ("RUST_LOG", "rocket=wran", "to set the level of one crate, write `info,rocket=debug`"),
    ] {
        assert_told(&[(name, value)], "FAIL", told);
    }
    assert_eq!(findings(&[("PORT", " 8080\n")]), [""; 0]);
    for right in ["", " ", "WARN", "off", "info,rocket=debug", "rocket::server", "redis=/a=b,c"] {
        assert_eq!(findings(&[("RUST_LOG", right)]), [""; 0], "{right}");
    }
    let selected = [("ROCKET_PROFILE", "relase")];
    assert_told(&selected, "warn", "the selected profile `relase`; did you mean `release`?");
}
