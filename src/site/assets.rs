//! The stylesheet and the icon. They are built into the executable, and compressed and named by
//! their content once, at launch.
//!
//! A page links to `/static/style.<hash>.css`, which never changes, so browsers keep it for a year.
//! For another hash, or none, the current file is sent and not cached: while one revision replaces
//! another, each may get requests for files of the other.

use std::collections::HashMap;
use std::io::{self, Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use rocket::http::{ContentType, Status};
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use rocket::{State, get};
use rocket_dyn_templates::tera;
use sha2::{Digest, Sha256};

/// How many hexadecimal digits of a file's SHA-256 its name contains.
const HASH_LENGTH: usize = 12;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const REVALIDATED: &str = "no-cache";

#[get("/<name>")]
pub(super) fn file<'r>(name: &str, assets: &'r State<Assets>) -> Option<AssetResponse<'r>> {
    assets.find(name)
}

/// Each file of the folder `static`: its stem, its extension and its content.
const BUILT_IN: &[(&str, &str, &[u8])] = &[
    ("favicon", "svg", include_bytes!("../../static/favicon.svg")),
    ("style", "css", include_bytes!("../../static/style.css")),
];

/// The files of the folder `static`.
#[derive(Debug)]
pub(super) struct Assets(Vec<Asset>);

impl Assets {
    pub(super) fn built_in() -> Self {
        let asset = |&(stem, extension, plain)| Asset::new(stem, extension, plain);
        Self(BUILT_IN.iter().map(asset).collect())
    }

    pub(super) fn addresses(&self) -> Addresses {
        let named = |it: &Asset| {
            let Asset { stem, hash, extension, .. } = it;
            (format!("{stem}.{extension}"), format!("/static/{stem}.{hash}.{extension}"))
        };
        Addresses(self.0.iter().map(named).collect())
    }

    fn find(&self, name: &str) -> Option<AssetResponse<'_>> {
        let (rest, extension) = name.rsplit_once('.')?;
        self.0.iter().filter(|it| it.extension == extension).find_map(|asset| {
            let caching = match rest.strip_prefix(asset.stem)? {
                "" => REVALIDATED,
                hash => match hash.strip_prefix('.')? {
                    hash if hash == asset.hash => IMMUTABLE,
                    hash if hash.len() == HASH_LENGTH => REVALIDATED,
                    _ => return None,
                },
            };
            Some(AssetResponse { asset, caching })
        })
    }
}

/// A function for templates: returns the path of a file, by its name in the folder.
#[derive(Clone, Debug)]
pub(super) struct Addresses(HashMap<String, String>);

impl tera::Function for Addresses {
    fn call(&self, arguments: &HashMap<String, tera::Value>) -> tera::Result<tera::Value> {
        let name = arguments.get("name").and_then(tera::Value::as_str).unwrap_or_default();
        match self.0.get(name) {
            Some(address) => Ok(address.as_str().into()),
            None => Err(format!("the folder `static` has no file `{name}`").into()),
        }
    }

    fn is_safe(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Asset {
    stem: &'static str,
    extension: &'static str,
    hash: String,
    kind: ContentType,
    plain: &'static [u8],
    /// The compressed file, if it is smaller.
    gzip: Option<Vec<u8>>,
}

impl Asset {
    fn new(stem: &'static str, extension: &'static str, plain: &'static [u8]) -> Self {
        let mut hash = format!("{:x}", Sha256::digest(plain));
        hash.truncate(HASH_LENGTH);
        let kind = ContentType::from_extension(extension).unwrap_or(ContentType::Binary);
        let gzip = compress(plain).ok().filter(|gzip| gzip.len() < plain.len());
        Self { stem, extension, hash, kind, plain, gzip }
    }
}

fn compress(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// A file as the response to a request for one of its names.
pub(super) struct AssetResponse<'r> {
    asset: &'r Asset,
    caching: &'static str,
}

impl<'r> Responder<'r, 'r> for AssetResponse<'r> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'r> {
        let Asset { hash, kind, plain, gzip, .. } = self.asset;
        let gzip = gzip.as_ref().filter(|_| accepts_gzip(request));
        // The compressed file is another representation, so it has another tag.
        let tag = if gzip.is_some() { format!("\"{hash}-gzip\"") } else { format!("\"{hash}\"") };
        let mut response = Response::build();
        response
            .raw_header("Cache-Control", self.caching)
            .raw_header("Vary", "Accept-Encoding")
            .raw_header("ETag", tag.clone());
        if is_known(request, &tag) {
            return response.status(Status::NotModified).ok();
        }
        let body = gzip.map_or(*plain, Vec::as_slice);
        if gzip.is_some() {
            response.raw_header("Content-Encoding", "gzip");
        }
        response.header(kind.clone()).sized_body(body.len(), Cursor::new(body)).ok()
    }
}

fn accepts_gzip(request: &Request<'_>) -> bool {
    items(request, "Accept-Encoding").any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.trim().strip_prefix("q=").map(str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip")
            && weight.is_none_or(|it| it.is_ok_and(|it| it > 0.0))
    })
}

/// Whether the client already has the file with this tag (RFC 9110, section 13.1.2).
fn is_known(request: &Request<'_>, tag: &str) -> bool {
    items(request, "If-None-Match")
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// The items of a header that contains a list.
fn items<'r>(request: &'r Request<'_>, header: &'static str) -> impl Iterator<Item = &'r str> {
    request.headers().get(header).flat_map(|line| line.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_found_by_its_name_with_its_hash_another_hash_or_none() {
        let css = Asset::new("style.new", "css", b"a{}");
        let hashed = format!("style.new.{}.css", css.hash);
        let assets = Assets(vec![css]);
        let caching = |name: &str| assets.find(name).map(|response| response.caching);
        assert_eq!(assets.addresses().0["style.new.css"], format!("/static/{hashed}"));
        assert_eq!(caching(&hashed), Some(IMMUTABLE));
        assert_eq!(caching("style.new.css"), Some(REVALIDATED));
        assert_eq!(caching("style.new.000000000000.css"), Some(REVALIDATED));
        for name in ["style.css", "style.new", "style.new.0.css", "style.newer.css", ".css", ""] {
            assert_eq!(caching(name), None, "{name}");
        }
    }

    #[test]
    fn each_file_of_the_folder_is_built_in() {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/static")).unwrap();
        let mut files: Vec<_> =
            files.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let built_in = BUILT_IN.iter().map(|(stem, extension, _)| format!("{stem}.{extension}"));
        assert_eq!(files, built_in.collect::<Vec<_>>());
    }
}
