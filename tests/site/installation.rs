//! The executable in a folder that holds nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use test_support::app::{App, Release, Reply, send};
use test_support::{target_dir, wait_for};

/// A folder with nothing but the executable. It is outside of the project, because Rocket looks for a
/// Rocket.toml in every folder above the working directory.
struct Installed(PathBuf);

impl Installed {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("installed-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let (built, program) =
            (target_dir().join("cloud-run-sessions"), folder.join("cloud-run-sessions"));
        // A link needs no space on the disk, but both folders must be on the same one.
        fs::hard_link(&built, &program).or_else(|_| fs::copy(&built, &program).map(drop)).unwrap();
        Self(folder)
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.0.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn start(&self, env: &[(&str, &str)]) -> App {
        App::start_of(&Release::of(self.0.to_str().unwrap()), env)
    }

    /// What `check` prints.
    fn check(&self, env: &[(&str, &str)]) -> String {
        let mut command = Command::new(self.0.join("cloud-run-sessions"));
        command.arg("check").current_dir(&self.0).env_clear().envs(env.iter().copied());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A page, as a browser requests it.
fn page(app: &App, path: &str) -> Reply {
    send(app.port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n"))
}

/// The value and the place that `check` shows for a setting.
fn line<'s>(shown: &'s str, key: &str) -> Vec<&'s str> {
    let line = shown.lines().find(|it| it.split(' ').next() == Some(key)).unwrap_or_default();
    line.split("  ").map(str::trim).filter(|it| !it.is_empty()).skip(1).collect()
}

#[test]
fn executable_alone_serves_every_page_with_its_style() {
    let installed = Installed::new();
    let app = installed.start(&[]);
    for path in ["/", "/foo", "/bar", "/session", "/about"] {
        let reply = page(&app, path);
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        let (_, style) = reply.body.split_once("href=\"/static/style.").unwrap();
        let (hash, _) = style.split_once(".css\"").unwrap();
        assert_eq!(page(&app, &format!("/static/style.{hash}.css")).status, 200);
    }
    let unknown = page(&app, "/nowhere");
    assert_eq!(unknown.header("content-type"), Some("text/html; charset=utf-8"));
}

#[test]
fn defaults_are_built_in_and_a_file_in_the_working_directory_overrides_them() {
    let installed = Installed::new();
    let shown = installed.check(&[]);
    assert_eq!(line(&shown, "port"), ["8080", "the application's defaults"], "{shown}");
    installed.write("Rocket.toml", "[default]\nport = 9000\n");
    let shown = installed.check(&[]);
    assert_eq!(line(&shown, "port"), ["9000", "Rocket.toml"], "{shown}");
    installed.write("other.toml", "[default]\nport = 9001\n");
    let shown = installed.check(&[("ROCKET_CONFIG", "other.toml")]);
    assert_eq!(line(&shown, "port"), ["9001", "other.toml"], "{shown}");
}

#[test]
fn launch_tells_the_file_of_the_settings() {
    let installed = Installed::new();
    installed.write("own.toml", "");
    let app = installed.start(&[("ROCKET_CONFIG", "own.toml")]);
    wait_for("the launch", || app.log().contains("has launched"));
    let told = app
        .log()
        .lines()
        .any(|it| it.starts_with("INFO settings are read from") && it.ends_with("own.toml"));
    assert!(told, "{}", app.log());
}

#[test]
fn check_shows_the_settings_of_the_application_besides_those_of_sessions() {
    let installed = Installed::new();
    let shown = installed.check(&[("ROCKET_METRICS_PORT", "9090"), ("ROCKET_HSTS", "max-age=1")]);
    for line in ["metrics_port  9090", "hsts  \"max-age=1\"", "template_dir  default"] {
        let words: Vec<_> = line.split_whitespace().collect();
        let is_shown =
            shown.lines().any(|it| it.split_whitespace().skip(1).eq(words.iter().copied()));
        assert!(is_shown, "{line}: {shown}");
    }
}

#[test]
fn cloud_run_reaches_the_application_unless_an_address_is_set() {
    let installed = Installed::new();
    assert_eq!(line(&installed.check(&[]), "address")[0], "127.0.0.1");
    assert_eq!(line(&installed.check(&[("K_SERVICE", "")]), "address")[0], "127.0.0.1");
    let on_cloud_run = [("K_SERVICE", "a")];
    assert_eq!(line(&installed.check(&on_cloud_run), "address")[0], "0.0.0.0");
    let set = [on_cloud_run[0], ("ROCKET_ADDRESS", "127.0.0.2")];
    assert_eq!(line(&installed.check(&set), "address")[0], "127.0.0.2");
    installed.write("Rocket.toml", "[default]\naddress = '::1'\n");
    assert_eq!(line(&installed.check(&on_cloud_run), "address")[0], "::1");
}

#[test]
fn templates_of_a_folder_replace_the_built_in_ones() {
    let installed = Installed::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = format!("own/{}", file.file_name().to_str().unwrap());
        installed.write(&name, &fs::read_to_string(file.path()).unwrap());
    }
    installed.write("own/about.html.tera", "<b>{{ \"<own>\" }}</b>");
    let app = installed.start(&[("ROCKET_TEMPLATE_DIR", "own")]);
    assert_eq!(page(&app, "/about").body, "<b>&lt;own&gt;</b>");
    assert_eq!(page(&app, "/foo").status, 200);
}

#[test]
fn folder_of_templates_that_is_missing_or_incomplete_is_told_with_the_settings_name() {
    let installed = Installed::new();
    let shown = installed.check(&[("ROCKET_TEMPLATE_DIR", "nowhere")]);
    let told = "`template_dir` is invalid: there is no folder `nowhere`; remove this to use the \
                 built-in templates (set in the environment variable ROCKET_TEMPLATE_DIR)";
    assert!(shown.contains(told), "{shown}");
    installed.write("own/index.html.tera", "");
    let mut command = Command::new(installed.0.join("cloud-run-sessions"));
    let command = command.current_dir(&installed.0).env_clear().env("ROCKET_TEMPLATE_DIR", "own");
    let output = command.output().unwrap();
    let log = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && log.contains("no file `about.html.tera`"), "{log}");
}
