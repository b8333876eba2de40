//! Checks the tables of modules in `lib.rs` and in some `mod.rs`: a module uses only those after it
//! in the table. Its tests may use any module.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn modules_use_only_those_after_them_in_the_table() {
    for (table, path) in [
        ("lib.rs", "crate::"),
        ("setup/mod.rs", "crate::setup::"),
        ("request/mod.rs", "crate::request::"),
        ("store/mod.rs", "crate::store::"),
        ("store/redis/mod.rs", "crate::store::redis::"),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(table);
        let text = fs::read_to_string(&file).unwrap();
        let rows = text.lines().map(|line| line.trim_start_matches(['/', '!', ' ']));
        let cells = rows.filter_map(|row| row.strip_prefix('|')?.split('|').next());
        let listed: Vec<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        let declared = text.lines().filter_map(|line| line.strip_suffix(';')?.split_once("mod "));
        for (_, name) in declared.filter(|(_, name)| *name != "layers") {
            assert!(listed.contains(&name), "the table in {table} lacks `{name}`");
        }
        let mut above = BTreeSet::new();
        for name in listed {
            let folder = file.with_file_name(name);
            let own = code(&folder.with_extension("rs")) + &code(&folder.join("mod.rs"));
            let mut uses = names(&own, "super::", "");
            uses.extend(names(&(code(&folder) + &own), path, ""));
            let mut offers = BTreeSet::from([name.to_owned()]);
            if own.contains("RequestSession") {
                // Its methods are in several files, and are called without a path.
                uses.extend(names(&own, "self.", "."));
                uses.extend(names(&own, "session.", "."));
                let methods = own.split_once("impl RequestSession {").unwrap_or_default().1;
                offers.extend(names(methods, "fn ", "."));
            }
            let upwards: Vec<_> = uses.intersection(&above).collect();
            assert!(
                upwards.is_empty(),
                "{path}{name} uses {upwards:?}, which the table lists before it"
            );
            above.extend(offers);
        }
    }
}

/// The code in a file or folder, without comments and tests.
fn code(path: &Path) -> String {
    if path.is_dir() {
        let files = fs::read_dir(path).unwrap().map(|it| it.unwrap().path());
        return files.filter(|it| !it.ends_with("tests.rs")).map(|it| code(&it)).collect();
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().take_while(|line| !line.ends_with("mod tests {"));
    let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Returns the names after each `before`, with `prefix` in front. Of a group in braces, returns
/// each name.
fn names(code: &str, before: &str, prefix: &str) -> BTreeSet<String> {
    let is_end = |it: char| !it.is_alphanumeric() && it != '_';
    let lists = code.split(before).skip(1).filter_map(|rest| match rest.strip_prefix('{') {
        Some(group) => group.split('}').next(),
        None => rest.split(is_end).next(),
    });
    let names = lists.flat_map(|list| list.split(is_end)).filter(|name| !name.is_empty());
    names.map(|name| format!("{prefix}{name}")).collect()
}
