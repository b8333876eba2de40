//! What a check has found, as it is printed.

use std::fmt;

use crate::finding::{Finding, Verdict};

/// The result of [`check`](crate::check()). Its `Display` implementation prints a report without
/// secrets. Use [`is_ok`](Self::is_ok) to choose the exit status.
#[derive(Clone, Debug, Default)]
pub struct Report {
    settings: Vec<(String, String, String)>,
    findings: Vec<Finding>,
}

impl Report {
    /// Returns `true` if no check failed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        Finding::are_ok(&self.findings)
    }

    /// Returns the findings, in the order of the checks.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Adds a finding of your application.
    pub fn push(&mut self, verdict: Verdict, what: &'static str, text: impl fmt::Display) {
        let finding = Finding::new(verdict, what, text);
        // Every reader reports an unreadable configuration.
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Adds errors of the settings.
    pub(crate) fn push_setting_errors(&mut self, errors: impl IntoIterator<Item: fmt::Display>) {
        for error in errors {
            self.push(Verdict::Failed, "settings", error);
        }
    }

    pub(crate) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// Shows a setting, and where it was set.
    pub(crate) fn show(&mut self, key: &str, value: String, place: String) {
        self.settings.push((key.to_owned(), value, place));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&(String, String, String)) -> &String| {
            self.settings.iter().map(|it| of(it).len()).max().unwrap_or_default()
        };
        let (keys, values) = (width(|it| &it.0), width(|it| &it.1));
        for (key, value, place) in &self.settings {
            writeln!(f, "{key:keys$}  {value:values$}  {place}")?;
        }
        if !self.settings.is_empty() {
            writeln!(f)?;
        }
        let width = self.findings.iter().map(|it| it.what.len()).max().unwrap_or_default();
        for Finding { verdict, what, text } in &self.findings {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warn",
                Verdict::Failed => "FAIL",
            };
            writeln!(f, "{verdict:4}  {what:width$}  {text}")?;
        }
        Ok(())
    }
}
