//! The page templates. They are built into the executable, so that it runs in any folder.
//!
//! The setting `template_dir` replaces them with those of a folder. In a debug build, Rocket then
//! reloads the folder's files when they change.

use std::env;
use std::error::Error;
use std::sync::LazyLock;

use rocket::{Build, Rocket};
use rocket_dyn_templates::tera::{self, Tera};
use rocket_dyn_templates::{Engines, Template};

/// The setting of Rocket's template fairing.
pub(crate) const FOLDER: &str = "template_dir";

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// Each file of the folder `templates`: its name without `.html.tera`, and its content.
        const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../templates/", $name, ".html.tera")))),*];
    };
}

built_in!("about", "bar", "base", "error", "foo", "index", "macros", "page", "session");

/// The built-in templates. Parsing them takes a large part of the startup time.
static PARSED: LazyLock<tera::Result<Tera>> = LazyLock::new(|| {
    let mut tera = Tera::default();
    // Every template is HTML, but the names have no suffix that says so.
    tera.autoescape_on(vec![""]);
    tera.add_raw_templates(BUILT_IN.iter().copied())?;
    Ok(tera)
});

/// Parses the built-in templates, if that was not done before.
pub(super) fn parse() {
    LazyLock::force(&PARSED);
}

/// Attaches the templates. `customize` is called whenever they have been loaded.
#[expect(clippy::result_large_err, reason = "a fairing returns the same type")]
pub(super) fn attach(
    rocket: Rocket<Build>,
    customize: impl Fn(&mut Engines) + Send + Sync + 'static,
) -> Result<Rocket<Build>, Rocket<Build>> {
    if rocket.figment().contains(FOLDER) {
        return Ok(rocket.attach(Template::try_custom(move |engines| {
            check(engines)?;
            customize(engines);
            Ok(())
        })));
    }
    // The fairing requires a path that exists. In that of the program, it finds no templates.
    let Ok(program) = env::current_exe() else {
        log::error!("the path of this program cannot be read; is /proc mounted?");
        return Err(rocket);
    };
    let figment = rocket.figment().clone().join((FOLDER, program));
    Ok(rocket.configure(figment).attach(Template::try_custom(move |engines| {
        engines.tera = PARSED.as_ref()?.clone();
        customize(engines);
        Ok(())
    })))
}

/// Returns an error if the folder lacks a template.
fn check(engines: &Engines) -> Result<(), Box<dyn Error>> {
    let is_there = |name: &str| engines.tera.get_template_names().any(|it| it == name);
    match BUILT_IN.iter().find(|(name, _)| !is_there(name)) {
        Some((name, _)) => Err(format!(
            "the folder that `{FOLDER}` names has no file `{name}.html.tera`; add it, or remove \
             `{FOLDER}` to use the built-in templates"
        )
        .into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_file_of_the_folder_is_built_in() {
        let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/templates")).unwrap();
        let mut files: Vec<_> =
            files.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let built_in: Vec<_> =
            BUILT_IN.iter().map(|(name, _)| format!("{name}.html.tera")).collect();
        assert_eq!(files, built_in);
    }
}
