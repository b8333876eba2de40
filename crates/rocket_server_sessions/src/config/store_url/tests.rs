use super::query::Servers;
use super::*;

fn locate(url: &str) -> Result<Location, &'static str> {
    match StoreUrl::from(url).locate()? {
        Place::Redis(location) => Ok(location),
        Place::File(path) => panic!("{} is a file", path.display()),
    }
}

#[test]
fn every_part_of_a_url_is_read() {
    let read = locate("rediss://al%69ce:w%23or:d@Redis.example:7000/2").unwrap();
    assert!(read.is_encrypted && read.servers == Servers::One);
    assert_eq!((read.host.as_str(), read.port, read.database), ("Redis.example", Some(7000), 2));
    assert_eq!(read.username.as_deref(), Some("alice"));
    assert_eq!(read.password.as_deref(), Some("w#or:d"));
    let read = locate("redis://:w@rd@[::1]").unwrap();
    assert!(!read.is_encrypted);
    assert_eq!((read.host.as_str(), read.port, read.database), ("::1", None, 0));
    assert_eq!((read.username, read.password.as_deref()), (None, Some("w@rd")));
    let read = locate("redis-sentinel://h?sentinelServiceName=m&node=[::1]:2&node=b").unwrap();
    assert_eq!(read.nodes, [("::1".to_owned(), Some(2)), ("b".to_owned(), None)]);
}

#[test]
fn unsupported_url_is_refused_with_a_remedy_and_without_the_password() {
    for (url, remedy) in [
        ("redis://:hunter2@h?db=2", "after a `/`"),
        ("redis://:hunter2@h/0?tls=true", "write `rediss://`"),
        ("redis://:hunter2@h?ssl_cert_reqs=none", "`ca_file`"),
        ("redis://:hunter2@h?protocol=resp3", "takes no parameters"),
        ("redis://:hunter2@h?node=b", "redis-cluster://"),
        ("rediss://:hunter2@h#insecure", "always checked"),
        ("redis://u:hun#hunter2@h:6379", "`%23`"),
        ("redis://u:hun/hunter2@h:6379", "`%2F`"),
        ("redis://u:hun?hunter2@h:6379", "percent-encode"),
        ("redis://hunter2?x@h:6379", "`%3F`"),
        ("redis://u:hunter2@h:port", "a number from 1 to 65535"),
        ("redis://u:hunter2@h:0", "a number from 1 to 65535"),
        ("redis://u:hunter2@h/two", "is not a number"),
        ("redis://u:hunter2@h//2", "is not a number"),
        ("redis://u:hunter2@", "no host"),
        ("redis://u:@h", "empty password"),
        ("redis://hunter2@h", "`:password@`"),
        ("redis://u:hunter2@h,i", "node=host:port"),
        ("redis://u:hunter2@[::1", "percent-encode"),
        ("redis://u:hunter2@münchen.example", "special characters"),
        ("redis-cluster://u:hunter2@h?node=a..b", "host:port"),
        ("redis://u:hun ter2@h", "white space"),
        ("\"redis://u:hunter2@h\"", "quotes"),
        ("redis:hunter2@h", "rediss://user:password@host"),
        ("https://u:hunter2@h", "must begin with"),
        ("unix:///hunter2", "must begin with"),
        ("redis-herd://u:hunter2@h", "must begin with"),
        ("redis://u:hunter2@x.upstash.io", "only TLS"),
        ("redis-cluster://u:hunter2@h/1", "only database 0"),
        ("redis-cluster://u:hunter2@h?sentinelServiceName=m", "which a cluster"),
        ("redis-sentinel://u:hunter2@h", "names no master"),
    ] {
        let error = locate(url).expect_err(url);
        assert!(error.contains(remedy) && !error.contains("hunter2"), "{url}: {error}");
        assert!(!format!("{:?}", StoreUrl::from(url)).contains("hunter2"), "{url}");
    }
}

#[test]
fn place_is_shown_without_credentials() {
    for (url, shown) in [
        ("rediss://default:hunter2@redis.example:6379/0", "rediss://redis.example:6379"),
        ("redis://[::1]:7/3", "redis://[::1]:7/3"),
        (
            "redis-sentinel://:hunter2@a?sentinelServiceName=m&node=b:7&sentinelPassword=hunter2",
            "redis-sentinel://a?sentinelServiceName=m&node=b:7",
        ),
    ] {
        assert_eq!(format!("{:?}", StoreUrl::from(url)), shown);
    }
}

#[test]
fn whole_path_of_a_file_is_read_and_shown() {
    for (url, path) in [
        ("sqlite:sessions.db", "sessions.db"),
        ("SQLite:data/sessions.db", "data/sessions.db"),
        ("sqlite:/data/sessions.db", "/data/sessions.db"),
        ("sqlite:///data/sessions.db", "/data/sessions.db"),
        ("sqlite:my sessions.db", "my sessions.db"),
        ("sqlite:100%25%3F%23.db", "100%?#.db"),
    ] {
        let url = StoreUrl::from(url);
        assert!(
            matches!(url.locate(), Ok(Place::File(found)) if found.as_os_str() == path),
            "{url:?}"
        );
        assert_eq!(format!("{url:?}"), format!("sqlite:{path}"));
    }
}

#[test]
fn ambiguous_file_is_refused_with_a_remedy() {
    for (url, remedy) in [
        ("sqlite:", "`sqlite:sessions.db`"),
        ("sqlite://", "`sqlite:sessions.db`"),
        ("sqlite://sessions.db", "two slashes"),
        ("sqlite::memory:", "remove the setting"),
        ("sqlite:sessions.db?mode=rwc", "`%3F`"),
        ("sqlite:sessions.db#a", "`%23`"),
        ("sqlite:data/", "names a folder"),
        ("sqlite:~/sessions.db", "write the whole path"),
        ("sqlite:$HOME/sessions.db", "not expanded"),
        ("sqlite:a%00b", "control character"),
        ("sqlite:a%ff", "UTF-8"),
        ("\"sqlite:sessions.db\"", "quotes"),
        ("sessions.db", "`sqlite:sessions.db`"),
        ("sqlite3://sessions.db", "`sqlite:sessions.db`"),
    ] {
        let error = StoreUrl::from(url).locate().err().expect(url);
        assert!(error.contains(remedy), "{url}: {error}");
    }
}

proptest::proptest! {
    /// A percent-encoded password may contain any character. A password is never shown, whether it
    /// was encoded or not.
    #[test]
    fn encoded_password_is_read_whole_and_raw_one_is_never_shown(word in "[!-~]{6,20}") {
        let set = percent_encoding::NON_ALPHANUMERIC;
        let encoded = percent_encoding::utf8_percent_encode(&word, set);
        let read = locate(&format!("redis://u:{encoded}@h:1")).unwrap();
        proptest::prop_assert_eq!(read.password.as_deref(), Some(word.as_str()));
        let raw = StoreUrl::from(format!("redis://user:{word}@example.com:6379").as_str());
        let shown = format!("{raw:?}");
        proptest::prop_assert!(
            ["redis://example.com:6379", "[not a valid URL]"].contains(&shown.as_str()),
            "{}", shown
        );
    }
}
