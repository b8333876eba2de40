//! The crate's public API as a list, `api.txt`, so that every change to it shows up in review.
//!
//! After an intended change, update the list and commit it:
//!
//! ```text
//! UPDATE_API=1 cargo test -p rocket_server_sessions --test public_api -- --ignored
//! ```

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

const PACKAGE: &str = env!("CARGO_PKG_NAME");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/public_api");

#[test]
#[ignore = "the format of rustdoc's JSON depends on the release of Rust; tests/run has the right one"]
fn public_api_is_as_listed() {
    let list = Path::new(FOLDER).join("api.txt");
    let found = public_api();
    if env::var_os("UPDATE_API").is_some() {
        fs::write(&list, found.join("\n") + "\n").expect("the list can be written");
        return;
    }
    let listed = fs::read_to_string(&list).expect("the list can be read");
    let listed: BTreeSet<_> = listed.lines().collect();
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    let removed: Vec<_> = listed.difference(&found).collect();
    let added: Vec<_> = found.difference(&listed).collect();
    assert!(
        removed.is_empty() && added.is_empty(),
        "the public API is not what {} lists; if that is intended, run this test with UPDATE_API=1 \
         and commit the list\nremoved: {removed:#?}\nadded: {added:#?}",
        list.display()
    );
}

/// One line for each public item, in a fixed order.
fn public_api() -> Vec<String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp is in target");
    let status = Command::new(env!("CARGO"))
        .args(["rustdoc", "--quiet", "--locked", "--lib", "--all-features", "--package", PACKAGE])
        .arg("--target-dir")
        .arg(target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"])
        .env("RUSTDOC", Path::new(FOLDER).join("rustdoc"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "rustdoc fails; see its message above");
    let api = public_api::Builder::from_rustdoc_json(target.join(format!("doc/{PACKAGE}.json")))
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .expect("public-api can read the JSON of this rustdoc");
    // The module `docs` exists only in the documentation.
    api.items().map(ToString::to_string).filter(|item| !item.contains("::docs")).collect()
}
