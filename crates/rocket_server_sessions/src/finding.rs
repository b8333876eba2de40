//! What a check has found.

use std::fmt;

/// One item of a [`Report`](crate::Report).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The result of the check.
    pub verdict: Verdict,
    /// What was checked, such as `authentication`.
    pub what: &'static str,
    /// Details, with advice if the check failed.
    pub text: String,
}

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Passed.
    Ok,
    /// Sessions work, but a setting is probably wrong.
    Warning,
    /// Failed: sessions do not work.
    Failed,
}

impl Finding {
    pub(crate) fn new(verdict: Verdict, what: &'static str, text: impl fmt::Display) -> Self {
        Self { verdict, what, text: text.to_string() }
    }

    /// Returns `true` if none of these checks failed.
    pub(crate) fn are_ok(findings: &[Self]) -> bool {
        findings.iter().all(|it| it.verdict != Verdict::Failed)
    }
}
