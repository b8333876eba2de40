//! What `check` finds about encryption and certificates.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rocket_server_sessions::{Report, check};
use test_support::{RedisServer, free_port};

use crate::check::{assert_fails, report};
use crate::world::figment;

/// Certificates in a folder of their own.
struct Certificates(PathBuf);

impl Certificates {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("check-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let own = Self(folder);
        own.openssl(&format!(
            "req -x509 {KEY_TYPE} -keyout ca.key -out ca.pem -subj /CN=ca -days 2"
        ));
        own
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        let command = command.args(arguments.split_whitespace()).current_dir(&self.0);
        let output = command.output().expect("the tests need openssl: `apt-get install openssl`");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A certificate that the authority has signed.
    fn sign(&self, extensions: &str, options: &str) {
        self.sign_as("server", extensions, options);
    }

    fn sign_as(&self, name: &str, extensions: &str, options: &str) {
        self.openssl(&format!(
            "req {KEY_TYPE} -keyout {name}.key -out {name}.csr -subj /CN=127.0.0.1 {extensions}"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem \
             {options}"
        ));
    }

    fn redis(&self, options: &str) -> (RedisServer, u16) {
        let port = free_port();
        let folder = self.0.display();
        let options = format!(
            "--tls-port {port} --tls-cert-file {folder}/server.pem --tls-key-file \
             {folder}/server.key --tls-ca-cert-file {folder}/ca.pem {options}"
        );
        (RedisServer::start_with(free_port(), &options), port)
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }

    fn report(&self, scheme: &str, port: u16) -> Report {
        self.report_with(scheme, port, &[])
    }

    fn report_with(&self, scheme: &str, port: u16, settings: &[(&str, &str)]) -> Report {
        let mut figment = figment().merge(("session.url", format!("{scheme}://127.0.0.1:{port}")));
        if scheme == "rediss" {
            figment = figment.merge(("session.ca_file", self.path("ca.pem")));
        }
        for (key, value) in settings {
            figment = figment.merge((format!("session.{key}"), value));
        }
        check(&figment)
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const KEY_TYPE: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
const NAME: &str = "-addext subjectAltName=IP:127.0.0.1";
const CLIENT: &str = "-copy_extensions copy -days 2";

#[test]
fn failed_encryption_is_reported_with_a_remedy() {
    for (extensions, options, remedy) in [
        // Without extensions, openssl makes a certificate of version 1.
        ("", "-days 2", "X.509 version 1"),
        (NAME, "-copy_extensions copy -days -1", "expired"),
        ("-addext subjectAltName=DNS:other", "-copy_extensions copy -days 2", "another name"),
        (
            "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:TRUE",
            "-copy_extensions copy -days 2",
            "CA:FALSE",
        ),
    ] {
        let certificates = Certificates::new();
        certificates.sign(extensions, options);
        let (_server, port) = certificates.redis("--tls-auth-clients no");
        assert_fails(&certificates.report("rediss", port), "TLS", remedy);
    }
}

#[test]
fn encrypted_and_plain_servers_are_not_mistaken_for_each_other() {
    let certificates = Certificates::new();
    certificates.sign(NAME, "-copy_extensions copy -days 2");
    let (server, port) = certificates.redis("--tls-auth-clients no");
    let right = certificates.report("rediss", port);
    assert!(right.is_ok() && right.to_string().contains("the certificate is valid"), "{right}");
    assert_fails(&certificates.report("redis", port), "answer", "write `rediss://`");
    assert_fails(&certificates.report("rediss", server.port), "TLS", "write `redis://`");
    let unknown = report(&format!("rediss://127.0.0.1:{port}"));
    assert_fails(&unknown, "TLS", "`ca_file`");
}

#[test]
fn required_client_certificate_is_reported() {
    let certificates = Certificates::new();
    certificates.sign(NAME, "-copy_extensions copy -days 2");
    for protocols in ["TLSv1.3", "TLSv1.2"] {
        let (_server, port) =
            certificates.redis(&format!("--tls-auth-clients yes --tls-protocols {protocols}"));
        assert_fails(&certificates.report("rediss", port), "TLS", "client certificate");
        assert_fails(&certificates.report("rediss", port), "TLS", "`client_cert_file`");
    }
}

#[test]
fn client_certificate_is_shown_and_one_that_cannot_be_used_is_told() {
    let (certificates, other) = (Certificates::new(), Certificates::new());
    certificates.sign(NAME, "-copy_extensions copy -days 2");
    certificates.sign_as("client", "-addext keyUsage=digitalSignature", CLIENT);
    certificates.sign_as("old", "-addext keyUsage=digitalSignature", &CLIENT.replace('2', "-1"));
    other.sign_as("client", "-addext keyUsage=digitalSignature", CLIENT);
    for protocols in ["TLSv1.3", "TLSv1.2"] {
        let (_server, port) =
            certificates.redis(&format!("--tls-auth-clients yes --tls-protocols {protocols}"));
        let report = |certificate: &str, key: &str| {
            let files = [("client_cert_file", certificate), ("client_key_file", key)];
            certificates.report_with("rediss", port, &files)
        };
        let [file, key] = ["client.pem", "client.key"].map(|it| certificates.path(it));
        let right = report(&file, &key);
        assert!(right.is_ok(), "{right}");
        let unknown = report(&other.path("client.pem"), &other.path("client.key"));
        assert_fails(&unknown, "TLS", "it does not accept the certificate in `client_cert_file`");
        let old = report(&certificates.path("old.pem"), &certificates.path("old.key"));
        assert_fails(&old, "TLS", "it finds `client_cert_file` expired");
        let mixed = report(&file, &other.path("client.key"));
        assert_fails(&mixed, "settings", "`session.client_key_file` is not the key of the first");
        let half = [("client_cert_file", file.as_str())];
        let half = certificates.report_with("rediss", port, &half);
        assert_fails(&half, "settings", "`session.client_cert_file` is set without");
    }
}

#[test]
fn server_may_have_another_name_if_that_is_set() {
    let certificates = Certificates::new();
    certificates.sign("-addext subjectAltName=DNS:redis.example", "-copy_extensions copy -days 2");
    let (_server, port) = certificates.redis("--tls-auth-clients no");
    assert_fails(&certificates.report("rediss", port), "TLS", "set it as `tls_server_name`");
    let named = |name| certificates.report_with("rediss", port, &[("tls_server_name", name)]);
    let right = named("redis.example");
    assert!(right.is_ok(), "{right}");
    assert_fails(&named("other.example"), "TLS", "another name");
    assert_fails(&named("no name"), "settings", "`session.tls_server_name` is not a host name");
}
