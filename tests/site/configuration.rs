//! How the environment configures the process, and how mistakes are reported.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rocket::figment::Figment;
use rocket::figment::providers::{Format, Toml};
use rocket_server_sessions::Config;
use test_support::app::{App, KEY, Release, run_to_end, send};
use test_support::{RedisServer, free_port, target_dir, wait_for};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs the binary to its end with these arguments, in an environment with only these variables.
fn run(arguments: &[&str], env: &[(&str, &OsStr)]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = Command::new(target_dir().join("cloud-run-sessions"))
        .args(arguments)
        .current_dir(ROOT)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn port_beats_everything() {
    let app = App::start(&[("ROCKET_PORT", "1"), ("ROCKET_PROFILE", "release")]);
    assert_eq!(app.visitor().get("/health/live").status, 200);
}

#[test]
fn rocket_variables_work_as_rocket_users_expect() {
    let port = free_port().to_string();
    let env = [("ROCKET_PORT", port.as_str()), ("ROCKET_SESSION", "{idle_timeout=0}")];
    let (succeeded, log) = run_to_end(&env);
    assert!(!succeeded && log.contains("idle_timeout") && log.contains("ROCKET_"), "{log}");
}

#[test]
fn release_without_redis_and_key_runs_and_warns() {
    let app = App::start(&[("ROCKET_PROFILE", "release")]);
    let mut visitor = app.visitor();
    assert_eq!((visitor.get("/foo").views(), visitor.get("/foo").views()), (1, 2));
    app.signal("TERM");
    let (succeeded, log) = app.finish();
    assert!(succeeded, "{log}");
    assert!(log.contains("WARN sessions live in this process's memory"), "{log}");
    assert!(log.contains("or REDIS_URL"), "{log}");
    assert!(log.contains("WARN no `secret_key` is set"), "{log}");
}

#[test]
fn empty_variable_is_none_and_must_not_contradict_what_is_set() {
    let app = App::start(&[("REDIS_URL", ""), ("PREVIOUS_SECRET_KEYS", "\n")]);
    assert_eq!(app.visitor().get("/foo").views(), 1);
    let keys = format!("{{previous_keys=[\"{KEY}\"]}}");
    for (variable, session) in [
        ("REDIS_URL", "{url=\"redis://127.0.0.1:1\"}"),
        ("REDIS_URL", "{\"url\": \"redis://127.0.0.1:1\"}"),
        ("PREVIOUS_SECRET_KEYS", &keys),
    ] {
        let (succeeded, log) = run_to_end(&[(variable, ""), ("ROCKET_SESSION", session)]);
        assert!(!succeeded && log.contains(&format!("{variable} is empty, but")), "{log}");
        assert!(!log.contains(KEY), "{log}");
    }
}

#[test]
fn variable_that_is_not_utf8_fails_the_launch_and_is_named() {
    for name in ["REDIS_URL", "PREVIOUS_SECRET_KEYS", "ROCKET_SESSION", "ROCKET_SECRET_KEY", "PORT"]
    {
        let (code, log) = run(&[], &[(name, OsStr::from_bytes(b"redis://h/\xff"))]);
        assert!(code == Some(1) && log.contains(name), "{name}: {log}");
        assert_eq!(log.lines().filter(|it| it.starts_with("ERROR")).count(), 1, "{log}");
    }
}

#[test]
fn session_variable_is_never_dropped_whatever_else_is_set() {
    let redis = [("REDIS_URL", "redis://127.0.0.1:1"), ("ROCKET_SECRET_KEY", KEY)];
    for text in [
        "{idle_timeout='2h'}",
        "{idle_timeout=\"2h\"",
        "{\"idle_timeout\": \"2h\",}",
        "idle_timeout=2h",
        "",
    ] {
        let (succeeded, log) = run_to_end(&[&redis[..], &[("ROCKET_SESSION", text)]].concat());
        assert!(!succeeded && log.contains("ROCKET_SESSION='{idle_timeout="), "{text}: {log}");
    }
    let (_, shown) = run(
        &["check"],
        &[
            ("REDIS_URL", OsStr::new("redis://127.0.0.1:1")),
            ("ROCKET_SESSION", OsStr::new("{\"idle_timeout\": \"20m\"}")),
        ],
    );
    let line = |key: &str| shown.lines().find(|it| it.starts_with(key)).unwrap_or_default();
    let idle = line("session.idle_timeout");
    assert!(idle.contains("20m") && idle.ends_with("ROCKET_SESSION"), "{shown}");
    assert!(line("session.first_idle_timeout").contains("20m"), "{shown}");
    assert!(line("session.url").ends_with("REDIS_URL"), "{shown}");
}

#[test]
fn unknown_names_are_reported_at_launch_once_each() {
    let app = App::start(&[
        ("ROCKET_SESION", "{idle_timeout=60}"),
        ("ROCKET_PROT", "1"),
        ("ROCKET_METRIC_PORT", "1"),
        ("ROCKET_TLS", "{certs=\"a\",key=\"b\"}"),
        ("ROCKET_LOG_LEVEL", "off"),
        ("ROCKET_PROFILE", "relase"),
    ]);
    wait_for("the launch", || app.log().contains("has launched"));
    let log = app.log();
    for told in [
        "`sesion` has no effect; did you mean `session`? (set in the environment variable ROCKET_SESION)",
        "`prot` has no effect; did you mean `port`?",
        "`metric_port` has no effect; did you mean `metrics_port`?",
        "`tls` has no effect; this build of Rocket does not serve TLS",
        "`log_level` has no effect; set RUST_LOG instead",
        "`relase`; did you mean `release`?",
    ] {
        assert_eq!(log.matches(told).count(), 1, "{told}:\n{log}");
    }
}

#[test]
fn file_that_is_not_there_fails_the_launch() {
    let (succeeded, log) = run_to_end(&[("ROCKET_CONFIG", "nowhere.toml")]);
    assert!(!succeeded && log.contains("nowhere.toml"), "{log}");
}

#[test]
fn right_configuration_has_nothing_to_warn_of() {
    let redis = RedisServer::start();
    let app = App::on_redis(&redis.url());
    wait_for("the check", || app.log().contains("checked the store at launch"));
    let log = app.log();
    assert!(log.contains("all checks passed (redis 7."), "{log}");
    let is_complaint = |line: &&str| line.starts_with("WARN") || line.starts_with("ERROR");
    assert_eq!(log.lines().find(is_complaint), None, "{log}");
}

#[test]
fn wrong_password_is_told_at_launch_before_any_request() {
    let redis = RedisServer::start_with(free_port(), "--requirepass word");
    let app = App::on_redis(&redis.url().replace("://", "://:hunter2@"));
    wait_for("the check", || app.log().contains("WARN checked the store at launch"));
    let log = app.log();
    assert!(log.contains("check the user and the password in `url`"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn check_at_launch_is_repeated_until_it_passes_and_tells_each_result_once() {
    let redis = RedisServer::start_with(free_port(), "--requirepass word");
    let mut connection = redis::Client::open(redis.url().replace("://", "://:word@")).unwrap();
    let app = App::on_redis(&redis.url().replace("://", "://:hunter2@"));
    wait_for("the check", || app.log().contains("WARN checked the store at launch"));
    redis::cmd("CONFIG").arg(&["SET", "requirepass", "hunter2"]).exec(&mut connection).unwrap();
    wait_for("the next check", || {
        app.log().contains("INFO checked the store again: all checks passed")
    });
    let told = app.log().matches("authentication failed").count();
    assert_eq!(told, 1, "{}", app.log());
}

#[test]
fn check_tells_scripts_by_its_exit_code() {
    let redis = RedisServer::start();
    let url = redis.url();
    let env = |url| [("REDIS_URL", OsStr::new(url)), ("ROCKET_SECRET_KEY", OsStr::new(KEY))];
    let (code, shown) = run(&["check"], &env(url.as_str()));
    assert!(code == Some(0) && shown.contains("ok    rights"), "{shown}");
    assert!(!shown.contains(KEY), "{shown}");
    let (code, shown) = run(&["check"], &env("redis://127.0.0.1:1"));
    assert!(code == Some(1) && shown.contains("FAIL  connection"), "{shown}");
    let (code, shown) = run(&["check"], &env("http://127.0.0.1"));
    assert!(code == Some(1) && shown.contains("FAIL  settings"), "{shown}");
    let (code, shown) = run(&["chekc"], &[]);
    assert!(code == Some(2) && shown.contains("usage:"), "{shown}");
}

#[test]
fn check_warns_of_what_the_launch_warns_of() {
    let env = [
        ("ROCKET_PROFILE", "release"),
        ("ROCKET_SESION", "{prefix=\"shop:\"}"),
        ("ROCKET_SESSION", "{insecure_http=true}"),
    ];
    let app = App::start(&env);
    wait_for("the launch", || app.log().contains("has launched"));
    let (_, shown) = run(&["check"], &env.map(|(name, value)| (name, OsStr::new(value))));
    let log = app.log();
    let warnings: Vec<_> = log.lines().filter_map(|it| it.strip_prefix("WARN ")).collect();
    for part in ["`sesion`", "`insecure_http`", "`secret_key`", "memory"] {
        assert!(warnings.iter().any(|it| it.contains(part)), "{part}:\n{log}");
    }
    for warning in warnings {
        assert_eq!(shown.matches(warning).count(), 1, "{warning}:\n{shown}");
    }
}

#[test]
fn file_documents_every_setting_with_its_default() {
    let file = std::fs::read_to_string(Path::new(ROOT).join("Rocket.toml")).unwrap();
    let (_, table) = file.split_once("[default.session]\n").unwrap();
    let is_setting =
        |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let settings: Vec<_> =
        table.lines().filter_map(|it| it.strip_prefix("# ")).filter(is_setting).collect();
    let unset = ["url", "ca_file", "client_cert_file", "client_key_file", "tls_server_name"];
    let is_unset = |line: &&&str| unset.iter().any(|key| line.starts_with(key));
    let defaults: Vec<_> = settings.iter().filter(|it| !is_unset(it)).copied().collect();
    let toml = format!("[default.session]\n{}", defaults.join("\n"));
    let config = Config::extract(&Figment::from(Toml::string(&toml).nested())).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    let (_, shown) = run(&["check"], &[]);
    let keys = shown.lines().filter_map(|it| it.strip_prefix("session.")?.split(' ').next());
    let keys: Vec<_> = keys.collect();
    let documented: Vec<_> = settings.iter().filter_map(|it| it.split(' ').next()).collect();
    assert_eq!(documented, keys);
}

#[test]
fn process_under_nohup_outlives_its_terminal() {
    // What `nohup` does, in the folder of the application.
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nohup-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let program = target_dir().join("cloud-run-sessions");
    let script = folder.join("cloud-run-sessions");
    let text = format!("#!/bin/sh\ncd '{ROOT}'\ntrap '' HUP\nexec '{}'\n", program.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let app = App::start_of(&Release::of(folder.to_str().unwrap()), &[]);
    app.signal("HUP");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(app.visitor().get("/foo").views(), 1);
    app.signal("TERM");
    assert!(app.finish().0);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn wrong_port_is_told_of_on_one_line() {
    let (succeeded, log) = run_to_end(&[("PORT", "http")]);
    let line = log.lines().find(|it| it.contains("PORT")).unwrap_or_default();
    assert!(
        !succeeded && line.starts_with("ERROR `port` must be a number from 0 to 65535"),
        "{log}"
    );
}

#[test]
fn mistakes_end_the_launch_and_name_the_key_the_place_and_the_remedy() {
    let session = |text| [("ROCKET_SESSION", text), ("ROCKET_SECRET_KEY", KEY)];
    for (env, expected) in [
        (session("{idel_timeout=60}"), ["idel_timeout", "ROCKET_", "idle_timeout"]),
        (session("{cookie_name=\"a b\"}"), ["cookie_name", "ROCKET_", "__Host-"]),
        (
            [("REDIS_URL", "http://u:hunter2@h"), ("ROCKET_SECRET_KEY", KEY)],
            ["url", "REDIS_URL", "rediss://"],
        ),
        (
            [("REDIS_URL", "redis://u:hunter2@x.upstash.io:6379"), ("ROCKET_SECRET_KEY", KEY)],
            ["url", "REDIS_URL", "rediss://"],
        ),
        (
            [("REDIS_URL", "redis://127.0.0.1:1"), ("ROCKET_PROFILE", "release")],
            ["ROCKET_SECRET_KEY", "secret_key", "openssl rand -base64 32"],
        ),
        ([("PORT", "http"), ("ROCKET_SECRET_KEY", KEY)], ["`port`", "PORT", "65535"]),
    ] {
        let (succeeded, log) = run_to_end(&env);
        assert!(!succeeded, "{log}");
        for text in expected {
            // The names of variables are in capital letters.
            let is_named = log.to_lowercase().contains(&text.to_lowercase());
            assert!(is_named, "{text} is missing:\n{log}");
        }
        assert!(!log.contains("hunter2") && !log.contains(KEY), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn log_holds_no_cookie_and_no_password() {
    let app = App::start(&[
        ("REDIS_URL", "redis://default:hunter2@127.0.0.1:1"),
        ("ROCKET_SECRET_KEY", KEY),
    ]);
    let mut visitor = app.visitor();
    visitor.cookie = Some("session=opensesame".into());
    for path in ["/foo", "/session", "/nowhere"] {
        visitor.get(path);
    }
    app.signal("TERM");
    let (_, log) = app.finish();
    assert!(log.contains("ERROR Redis is unavailable"), "{log}");
    for secret in ["hunter2", "opensesame", KEY] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn term_ends_the_process_quickly_and_cleanly() {
    let app = App::start(&[]);
    send(app.port, "GET /foo HTTP/1.1\r\nHost: localhost\r\n");
    let start = Instant::now();
    app.signal("TERM");
    let (succeeded, log) = app.finish();
    assert!(succeeded && start.elapsed() < Duration::from_secs(2), "{log}");
}

#[test]
fn key_is_rotated_by_its_variables_and_no_user_is_logged_out() {
    const NEW: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
    let redis = RedisServer::start();
    let url = redis.url();
    let start = |key: &str, previous: &str| {
        let keys = [("ROCKET_SECRET_KEY", key), ("PREVIOUS_SECRET_KEYS", previous)];
        App::start(&[&keys[..], &[("REDIS_URL", &url)]].concat())
    };
    let before = start(KEY, "\n");
    let mut visitor = before.visitor();
    assert_eq!((visitor.get("/foo").views(), visitor.get("/foo").views()), (1, 2));
    let both = start(KEY, &format!("{NEW},\n"));
    let mut elsewhere = visitor.at(&both);
    assert_eq!(elsewhere.get("/foo").views(), 3);
    let swapped = start(NEW, &format!("{KEY}, {NEW}"));
    let mut later = elsewhere.at(&swapped);
    assert_eq!(later.get("/foo").views(), 4);
    assert_ne!(later.cookie, visitor.cookie, "sealed anew");
    let after = start(NEW, "");
    assert_eq!(later.at(&after).get("/foo").views(), 5);
    assert_eq!(visitor.at(&after).get("/foo").views(), 1, "a cookie of the key that is gone");
}
