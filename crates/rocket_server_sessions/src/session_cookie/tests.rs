use super::*;

fn value() -> CookieValue {
    CookieValue {
        id: PublicId::new(SystemTime::now()),
        token: Token::generate(),
        is_remembered: true,
        has_user: false,
    }
}

fn sealed(ring: &KeyRing, value: &CookieValue) -> String {
    let header = ring.seal(value, &Config::default(), SystemTime::now());
    header.split_once('=').unwrap().1.split(';').next().unwrap().to_owned()
}

#[test]
fn value_reads_what_it_wrote() {
    for (is_remembered, has_user) in [(false, false), (false, true), (true, false)] {
        let value = CookieValue { is_remembered, has_user, ..value() };
        assert_eq!(CookieValue::read(&value.write()), Some(value));
    }
}

/// Later releases must read it.
#[test]
fn value_is_written_as_release_0_1_0_does() {
    let value = CookieValue {
        id: PublicId::parse("01a20d6d-5a00-71c7-a340-8ca596f18ea6").unwrap(),
        token: Token::from_bytes(std::array::from_fn(|at| u8::try_from(at).unwrap())),
        is_remembered: true,
        has_user: true,
    };
    let text = "AgMBog1tWgBxx6NAjKWW8Y6mAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    assert_eq!(value.write(), text);
}

#[test]
fn value_with_any_change_is_refused() {
    let text = value().write();
    let of = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        of(&bytes)
    };
    for wrong in [
        with(0, 1),
        with(1, 4),
        with(2 + 6, 0x40),
        of(&bytes[1..]),
        format!("{text}AAAA"),
        format!("{text}="),
        String::new(),
    ] {
        assert_eq!(CookieValue::read(&wrong), None, "{wrong}");
    }
}

#[test]
fn no_client_has_a_reason_to_quote_a_sealed_value() {
    let ring = KeyRing::new(Key::generate(), vec![]);
    for _ in 0..20 {
        let sealed = sealed(&ring, &value());
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(sealed.bytes().all(is_plain), "{sealed}");
        assert_eq!(sealed.len(), SEALED_LENGTH);
    }
}

#[test]
fn key_ring_opens_values_of_a_previous_key_and_says_so() {
    let (old, new, other) = (Key::generate(), Key::generate(), Key::generate());
    let (value, name) = (value(), Config::default().cookie_name);
    let sealed = sealed(&KeyRing::new(old.clone(), vec![]), &value);
    let opened = KeyRing::new(new.clone(), vec![old]).unseal(&name, &sealed).unwrap();
    assert!(opened.is_key_old && opened.value == value);
    assert!(KeyRing::new(new, vec![other]).unseal(&name, &sealed).is_err());
}

#[test]
fn damaged_value_tells_how_it_was_damaged() {
    let ring = KeyRing::new(Key::generate(), vec![]);
    let config = Config { cookie_name: "session".to_owned(), ..Config::default() };
    let seal = |ring: &KeyRing| {
        let header = ring.seal(&value(), &config, SystemTime::now());
        header.split_once('=').unwrap().1.split(';').next().unwrap().to_owned()
    };
    let good = seal(&ring);
    let why = |value: &str| ring.unseal("session", value).err();
    assert_eq!(why(&good), None);
    assert_eq!(why(&format!("\"{good}\"")), None);
    for cut in ["x", &good[1..], &good[..126], &good[..64], "\"x\""] {
        assert_eq!(why(cut), Some(Rejection::CutOff), "{cut}");
    }
    let grown = format!("{good}=");
    let encoded = format!("%22{good}%22");
    let open_quote = format!("\"{good}");
    let escaped = format!("\\\"{good}\\\"");
    for changed in [&grown, &encoded, &open_quote, &escaped, "é", "a b", "\""] {
        assert_eq!(why(changed), Some(Rejection::Malformed), "{changed}");
    }
    let stranger = seal(&KeyRing::new(Key::generate(), vec![]));
    let lower = good.to_ascii_lowercase();
    for unknown in [&stranger, &lower] {
        assert_eq!(why(unknown), Some(Rejection::InvalidCookie), "{unknown}");
    }
}

proptest::proptest! {
    #[test]
    fn value_that_the_key_ring_has_not_sealed_never_opens(value in r"[ -~]{0,400}") {
        let ring = KeyRing::new(Key::generate(), vec![Key::generate()]);
        proptest::prop_assert!(ring.unseal("__Host-session", &value).is_err());
    }

    #[test]
    fn sealed_value_with_any_change_does_not_open(
        at in 0..SEALED_LENGTH,
        byte in proptest::char::range(' ', '~'),
    ) {
        let ring = KeyRing::new(Key::generate(), vec![]);
        let original = value();
        let sealed = sealed(&ring, &original);
        let mut changed = sealed.clone();
        changed.replace_range(at..=at, &byte.to_string());
        let opened = ring.unseal(&Config::default().cookie_name, &changed);
        // The last character has bits that no byte needs.
        proptest::prop_assert!(opened.ok().is_none_or(|it| it.value == original));
    }
}

#[test]
fn value_that_is_encrypted_under_another_name_is_refused() {
    let (ring, value) = (KeyRing::new(Key::generate(), vec![]), value());
    let claim = ring.encrypt("express:id", &value);
    assert_eq!(ring.decrypt("express:id", &claim).unwrap().0, value);
    assert!(ring.decrypt("express:other", &claim).is_none());
    assert!(ring.unseal("session", &claim).is_err());
}
