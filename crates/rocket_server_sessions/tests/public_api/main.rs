//! The crate's public API as a list, `api.txt`, so that a review sees every change of it.
//!
//! After a change that is meant, write the list anew:
//!
//! ```text
//! UPDATE_API=1 cargo test -p rocket_server_sessions --test public_api -- --ignored
//! ```

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

const PACKAGE: &str = env!("CARGO_PKG_NAME");

#[test]
#[ignore = "the format of rustdoc's JSON belongs to one release of Rust; tests/run has the right one"]
fn public_api_is_as_listed() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public_api/api.txt");
    let found = public_api();
    if env::var_os("UPDATE_API").is_some() {
        fs::write(&list, found).expect("the list can be written");
        return;
    }
    let listed = fs::read_to_string(&list).expect("the list can be read");
    assert!(
        listed == found,
        "the public API is not what tests/public_api/api.txt lists; if that is meant, run this \
         test with UPDATE_API=1 and commit the list:\n{}{}",
        only_in(&listed, &found, '-'),
        only_in(&found, &listed, '+')
    );
}

/// The lines that the other text does not have.
fn only_in(text: &str, other: &str, sign: char) -> String {
    let known: HashSet<_> = other.lines().collect();
    text.lines()
        .filter(|line| !known.contains(line))
        .map(|line| format!("{sign} {line}\n"))
        .collect()
}

/// One line for each public item, in a fixed order.
fn public_api() -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp is in target");
    let status = Command::new(env!("CARGO"))
        .args(["rustdoc", "--quiet", "--locked", "--lib", "--all-features", "--package", PACKAGE])
        .arg("--target-dir")
        .arg(target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"])
        .env("RUSTDOC", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public_api/rustdoc"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "rustdoc fails; it says above why");
    let api = public_api::Builder::from_rustdoc_json(target.join(format!("doc/{PACKAGE}.json")))
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .expect("rustdoc's JSON has the format that this release of public-api reads");
    api.to_string()
}
