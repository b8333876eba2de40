//! Servers with a wrong certificate or without TLS: nothing is sent to them in plain text.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::proxy::{self, Proxy};
use test_support::app::{App, KEY};
use test_support::{RedisServer, free_port, wait_for};

/// A certificate authority in a directory of its own, and what it signs.
struct Authority {
    directory: PathBuf,
}

impl Authority {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tls-{}-{number}", std::process::id());
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let authority = Self { directory };
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key \
             -out ca.pem -subj /CN=authority -days 2",
        );
        authority
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.directory)
            .output()
            .expect(
                "the tests need openssl: run `apt-get install openssl`, or `tests/run`, which \
                 does it",
            );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A Redis that shows a certificate for `name`, valid for this many days from now.
    fn redis(&self, name: &str, days: i32) -> TlsRedis {
        self.redis_with(name, days, "")
    }

    fn redis_with(&self, name: &str, days: i32, options: &str) -> TlsRedis {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key \
             -out server.csr -subj /CN=server -addext subjectAltName={name}"
        ));
        self.openssl(&format!(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
             -copy_extensions copy -days {days} -out server.pem"
        ));
        let directory = self.directory.display();
        let tls_port = free_port();
        let server = RedisServer::start_with(
            free_port(),
            &format!(
                "--tls-port {tls_port} --tls-cert-file {directory}/server.pem \
                 --tls-key-file {directory}/server.key --tls-auth-clients no \
                 --tls-ca-cert-file {directory}/ca.pem {options}"
            ),
        );
        TlsRedis { server, tls_port }
    }

    /// A certificate for clients: its file, and that of its key.
    fn client(&self) -> (String, String) {
        self.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client.key \
             -out client.csr -subj /CN=client -addext keyUsage=digitalSignature",
        );
        self.openssl(
            "x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
             -copy_extensions copy -days 2 -out client.pem",
        );
        (self.path("client.pem"), self.path("client.key"))
    }

    fn file(&self) -> String {
        self.path("ca.pem")
    }

    fn path(&self, file: &str) -> String {
        self.directory.join(file).display().to_string()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

struct TlsRedis {
    server: RedisServer,
    tls_port: u16,
}

fn app(scheme: &str, port: u16, ca_file: Option<&str>) -> App {
    let url = format!("{scheme}://default:hunter2@127.0.0.1:{port}");
    let session = ca_file.map_or("{}".to_owned(), |file| format!("{{ca_file={file:?}}}"));
    App::start(&[("REDIS_URL", &url), ("ROCKET_SECRET_KEY", KEY), ("ROCKET_SESSION", &session)])
}

/// No visitor is served, the log says once why and what to do, and nothing arrives at the server.
fn assert_refused(app: &App, server: &RedisServer, words: &[&str]) {
    let mut visitor = app.visitor();
    for _ in 0..5 {
        let reply = visitor.get("/foo");
        assert_eq!((reply.status, reply.header("set-cookie")), (503, None));
    }
    wait_for("the log", || app.log().contains("ERROR Redis is unavailable"));
    let log = app.log();
    for word in words {
        assert!(log.contains(word), "{word} is missing:\n{log}");
    }
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    assert!(!log.contains("hunter2") && !log.contains(KEY), "{log}");
    let commands = server.commands();
    assert!(!commands.contains_key("auth") && !commands.contains_key("hset"), "{commands:?}");
}

#[test]
fn a20_server_that_proves_who_it_is_is_used() {
    let authority = Authority::new();
    let redis = authority.redis("IP:127.0.0.1", 2);
    let app = app("rediss", redis.tls_port, Some(&authority.file()));
    let mut visitor = app.visitor();
    assert_eq!((visitor.get("/foo").views(), visitor.get("/foo").views()), (1, 2));
}

/// The handshake takes round trips too, but requests take only one.
#[test]
fn first_views_over_tls_are_served_by_a_distant_redis() {
    let authority = Authority::new();
    let redis = authority.redis("IP:127.0.0.1", 2);
    let proxy = Proxy::before(redis.tls_port);
    proxy.set_round_trip(Duration::from_millis(600));
    let url = format!("rediss://127.0.0.1:{}", proxy.port);
    let session = format!("{{ca_file={:?},deadline=\"3s\"}}", authority.file());
    let app = App::start(&[
        ("REDIS_URL", &url),
        ("ROCKET_SECRET_KEY", KEY),
        ("ROCKET_SESSION", &session),
    ]);
    let status = || app.visitor().get("/foo").status;
    let views = std::thread::scope(|scope| {
        let views: Vec<_> = (0..10).map(|_| scope.spawn(status)).collect();
        views.into_iter().map(|view| view.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(views, [200; 10]);
}

#[test]
fn a20_server_that_demands_a_client_certificate_is_used_with_one_and_asks_for_it_without() {
    let authority = Authority::new();
    let redis = authority.redis_with("DNS:redis.example", 2, "--tls-auth-clients yes");
    let (certificate, key) = authority.client();
    let url = format!("rediss://127.0.0.1:{}", redis.tls_port);
    let start = |further: &str| {
        let session = format!(
            "{{ca_file={:?},tls_server_name=\"redis.example\"{further}}}",
            authority.file()
        );
        let env = [("REDIS_URL", &*url), ("ROCKET_SECRET_KEY", KEY), ("ROCKET_SESSION", &session)];
        App::start(&env)
    };
    let app = start(&format!(",client_cert_file={certificate:?},client_key_file={key:?}"));
    let mut visitor = app.visitor();
    assert_eq!((visitor.get("/foo").views(), visitor.get("/foo").views()), (1, 2));
    redis.server.reset_commands();
    assert_refused(&start(""), &redis.server, &["`client_cert_file`"]);
}

#[test]
fn cluster_is_reached_by_tls_and_password() {
    let authority = Authority::new();
    let bus = free_port();
    let redis = authority.redis_with(
        "IP:127.0.0.1",
        2,
        &format!(
            "--cluster-enabled yes --cluster-config-file {}/nodes.conf --cluster-port {bus} \
             --tls-cluster yes",
            authority.directory.display()
        ),
    );
    let mut connection = redis.server.connect();
    redis::cmd("CLUSTER").arg(&["ADDSLOTSRANGE", "0", "16383"]).exec(&mut connection).unwrap();
    let set_password = ["SET", "requirepass", "hunter2"];
    redis::cmd("CONFIG").arg(&set_password).exec(&mut connection).unwrap();
    let app = app("rediss-cluster", redis.tls_port, Some(&authority.file()));
    let mut visitor = app.visitor();
    wait_for("the cluster to be one", || visitor.get("/foo").status == 200);
    assert_eq!(visitor.get("/foo").views(), 2);
}

#[test]
fn sentinels_and_their_master_are_reached_by_tls_and_passwords_of_their_own() {
    let authority = Authority::new();
    let redis = authority.redis("IP:127.0.0.1", 2);
    let set_password = ["SET", "requirepass", "hunter2"];
    redis::cmd("CONFIG").arg(&set_password).exec(&mut redis.server.connect()).unwrap();
    let (port, plain) = (free_port(), free_port());
    let directory = authority.directory.display();
    let file = authority.directory.join("sentinel.conf");
    let text = format!(
        "port {plain}\nbind 127.0.0.1\ntls-port {port}\ntls-cert-file {directory}/server.pem\n\
         tls-key-file {directory}/server.key\ntls-ca-cert-file {directory}/ca.pem\n\
         tls-auth-clients no\ntls-replication yes\nuser default on >guard ~* &* +@all\n\
         sentinel monitor sessions 127.0.0.1 {} 1\nsentinel auth-pass sessions hunter2\n",
        redis.tls_port
    );
    std::fs::write(&file, text).unwrap();
    let _sentinel = RedisServer::run(plain, &format!("{} --sentinel", file.display()));
    let url = format!(
        "rediss-sentinel://default:hunter2@127.0.0.1:{port}?sentinelServiceName=sessions\
         &sentinelUsername=default&sentinelPassword=guard"
    );
    let session = format!("{{ca_file={:?}}}", authority.file());
    let app = App::start(&[
        ("REDIS_URL", &url),
        ("ROCKET_SECRET_KEY", KEY),
        ("ROCKET_SESSION", &session),
    ]);
    let mut visitor = app.visitor();
    wait_for("the sentinel to know the master", || visitor.get("/foo").status == 200);
    assert_eq!(visitor.get("/foo").views(), 2);
}

#[test]
fn a20_expired_certificate_is_a_503_and_a_log_line() {
    let authority = Authority::new();
    let redis = authority.redis("IP:127.0.0.1", -1);
    let app = app("rediss", redis.tls_port, Some(&authority.file()));
    assert_refused(&app, &redis.server, &["xpired"]);
}

#[test]
fn a20_certificate_for_another_name_is_a_503_and_a_log_line() {
    let authority = Authority::new();
    let redis = authority.redis("DNS:redis.example", 2);
    let app = app("rediss", redis.tls_port, Some(&authority.file()));
    assert_refused(&app, &redis.server, &["not valid for name"]);
}

#[test]
fn a20_certificate_of_an_unknown_authority_is_a_503_and_the_log_names_the_remedy() {
    let (authority, other) = (Authority::new(), Authority::new());
    let redis = authority.redis("IP:127.0.0.1", 2);
    assert_refused(&app("rediss", redis.tls_port, None), &redis.server, &["`ca_file`"]);
    let app = app("rediss", redis.tls_port, Some(&other.file()));
    // Both authorities have the same name, so only the signature tells them apart.
    assert_refused(&app, &redis.server, &["certificate"]);
}

#[test]
fn a20_handshake_that_trickles_or_never_ends_is_held_to_the_deadline_and_heals() {
    let authority = Authority::new();
    let redis = authority.redis("IP:127.0.0.1", 2);
    for fault in [proxy::swallowing(), proxy::trickling(Duration::from_millis(5))] {
        let proxy = Proxy::before(redis.tls_port);
        let app = app("rediss", proxy.port, Some(&authority.file()));
        let mut visitor = app.visitor();
        proxy.set(fault);
        // More attempts than there are threads that make connections.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            let reply = visitor.get("/foo");
            assert!(reply.status == 503 && reply.took < Duration::from_millis(1_250), "{reply:?}");
        }
        proxy.set(proxy::faultless());
        let start = Instant::now();
        wait_for("Redis to be found", || visitor.get("/foo").status == 200);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
}

#[test]
fn a07_encrypted_reply_that_trickles_in_is_held_to_the_deadline() {
    let authority = Authority::new();
    let redis = authority.redis("IP:127.0.0.1", 2);
    let proxy = Proxy::before(redis.tls_port);
    let app = app("rediss", proxy.port, Some(&authority.file()));
    let mut visitor = app.visitor();
    assert_eq!((visitor.get("/foo").views(), visitor.get("/foo").views()), (1, 2));
    proxy.set(proxy::trickling(Duration::from_millis(50)));
    for _ in 0..20 {
        let reply = visitor.get("/foo");
        assert!(reply.status == 503 && reply.took < Duration::from_millis(1_250), "{reply:?}");
    }
    proxy.set(proxy::faultless());
    wait_for("Redis to be found again", || visitor.get("/foo").status == 200);
}

#[test]
fn a20_plain_server_where_tls_is_expected_gets_no_command() {
    let redis = RedisServer::start();
    let app = app("rediss", redis.port, None);
    assert_refused(&app, &redis, &["`redis://` instead of `rediss://`"]);
}

#[test]
fn a20_tls_server_where_none_is_expected_is_a_503_and_the_log_names_the_remedy() {
    let authority = Authority::new();
    let redis = authority.redis("IP:127.0.0.1", 2);
    let app = app("redis", redis.tls_port, None);
    assert_refused(&app, &redis.server, &["`rediss://` instead of `redis://`"]);
}
