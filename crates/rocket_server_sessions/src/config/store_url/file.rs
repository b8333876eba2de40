//! The path of a file, as a URL.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// Returns what comes after `sqlite:`, or `None` if that is not the scheme.
pub(super) fn rest(url: &str) -> Option<&str> {
    // RFC 3986, section 3.1: capitals make no difference.
    let (scheme, rest) = url.split_once(':')?;
    scheme.eq_ignore_ascii_case("sqlite").then_some(rest)
}

/// Parses what comes after `sqlite:`. No part of it is ignored.
pub(super) fn path(rest: &str) -> Result<PathBuf, &'static str> {
    if rest.contains(char::is_control) {
        return Err("contains a control character");
    }
    if rest.contains('?') {
        return Err(
            "has a part after `?`, and takes no parameters; if it belongs to the file's name, \
                    write the `?` as `%3F`",
        );
    }
    if rest.contains('#') {
        return Err(
            "has a part after `#`; if it belongs to the file's name, write the `#` as `%23`",
        );
    }
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some("") => "",
        Some(_) => {
            return Err(
                "has two slashes before a relative path; write `sqlite:sessions.db` for a \
                        file in the working directory, or `sqlite:///folder/sessions.db`",
            );
        }
        None => rest,
    };
    let path =
        percent_decode_str(path).decode_utf8().map_err(|_| "has a path that is not UTF-8")?;
    match &*path {
        "" => Err("names no file; write `sqlite:sessions.db`"),
        ":memory:" => Err("is not a file; to keep sessions in memory, remove the setting"),
        path if path.ends_with('/') => Err("names a folder; write `sqlite:folder/sessions.db`"),
        path if path.starts_with('$') => Err("begins with `$`: a variable was not expanded"),
        path if path.starts_with("~/") => {
            Err("begins with `~`, which only a shell expands; write the whole path")
        }
        path if path.contains('\0') => Err("contains a control character"),
        path => Ok(path.into()),
    }
}
