//! Claims of old sessions: scripts, each over an old record and its claim.

use std::time::{Duration, SystemTime};

use super::pipeline::{Pipeline, hash_tag};
use super::replies::Answer;
use super::rights::Needed;
use super::store::Redis;
use crate::finding::{Finding, Verdict};
use crate::id::PublicId;
use crate::store::error::StoreError;

/// What has become of an old session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClaimReply {
    /// There is no old record.
    Nothing,
    /// The old record is not a string.
    NoText,
    /// The old record was imported.
    Closed(String),
    /// The old record can be imported. The claim is the caller's, or an earlier one.
    Open { claim: String, record: String },
}

/// Claims an old record, unless it is claimed. Removes it if the claim is closed: then it was
/// written back by a request that Express was still serving.
///
/// `KEYS`: the old record, and the claim. `ARGV`: the claim to write, and its time to live.
const CLAIM: &str = "\
local claim = redis.call('GET', KEYS[2])
if claim and string.find(claim, '^closed ') then
  redis.call('DEL', KEYS[1])
  return {'closed', claim}
end
local record = redis.pcall('GET', KEYS[1])
if type(record) == 'table' then
  if string.find(record.err, '^WRONGTYPE') then return {'no text'} end
  return record
end
if not record then return {'gone'} end
if not claim then
  claim = ARGV[1]
  redis.call('SET', KEYS[2], claim, 'EX', ARGV[2])
end
return {'open', claim, record}
";

/// Removes an old record, and closes its claim, unless that is closed. Returns the claim.
///
/// `DEL` comes first: it is allowed when memory is full, and the script may then write.
///
/// `KEYS` and `ARGV` as above.
const CLOSE: &str = "\
redis.call('DEL', KEYS[1])
local claim = redis.call('GET', KEYS[2])
if not claim or not string.find(claim, '^closed ') then
  claim = ARGV[1]
  redis.call('SET', KEYS[2], claim, 'EX', ARGV[2])
end
return {'closed', claim}
";

/// Removes an old record, and replaces its claim.
///
/// `KEYS` and `ARGV` as above.
const END: &str = "\
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
return {'closed'}
";

impl Redis {
    /// Checks whether old records and their claims can be used. Blocks.
    pub(crate) fn probe_claims(&self, old_prefix: &str) -> Finding {
        let own_prefix = &self.settings.prefix;
        let old = format!("{old_prefix}{}", PublicId::new(SystemTime::now()));
        let claim = key(own_prefix, &old);
        let needed = vec![
            Needed::new("GET", old_prefix, &[&old]),
            Needed::new("GET", own_prefix, &[&claim]),
            Needed::new("DEL", old_prefix, &[&old]),
            Needed::new("SET", own_prefix, &[&claim, "", "EX", "1"]),
            Needed::new("EVAL", own_prefix, &["return 0", "2", &old, &claim]),
        ];
        let findings = self.settings.probe_rights(&old, needed);
        let failed = findings.into_iter().find(|it| it.verdict == Verdict::Failed);
        if let Some(Finding { what, text, .. }) = failed {
            return Finding::new(Verdict::Failed, IMPORT, format!("{what}: {text}"));
        }
        let text = format!("old sessions, `{old_prefix}*`, can be read and removed");
        Finding::new(Verdict::Ok, IMPORT, text)
    }

    /// Claims an old record, unless it is claimed.
    pub(crate) async fn claim(
        &self,
        old: &str,
        claim: &str,
        ttl: Duration,
    ) -> Result<ClaimReply, StoreError> {
        let mut answer = Answer::read(self.ask(self.script(CLAIM, old, claim, ttl)).await?)?;
        let found = std::mem::take(&mut answer.found);
        let mut next = || Ok(answer.text()?.unwrap_or_default());
        Ok(match found.as_str() {
            "closed" => ClaimReply::Closed(next()?),
            "open" => ClaimReply::Open { claim: next()?, record: next()? },
            "no text" => ClaimReply::NoText,
            _ => ClaimReply::Nothing,
        })
    }

    /// Removes an old record, and closes its claim, unless that is closed. Returns the claim.
    pub(crate) async fn close_claim(
        &self,
        old: &str,
        claim: &str,
        ttl: Duration,
    ) -> Result<String, StoreError> {
        let mut answer = Answer::read(self.ask(self.script(CLOSE, old, claim, ttl)).await?)?;
        Ok(answer.text()?.unwrap_or_default())
    }

    /// Removes an old record, and replaces its claim.
    pub(crate) async fn end_claim(
        &self,
        old: &str,
        claim: &str,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        Answer::read(self.ask(self.script(END, old, claim, ttl)).await?).map(drop)
    }

    fn script(&self, text: &str, old: &str, claim: &str, ttl: Duration) -> Pipeline {
        let mut pipeline = Pipeline::default();
        pipeline.script(text, 3, &[old, &key(&self.settings.prefix, old)], (claim, ttl.as_secs()));
        pipeline
    }
}

/// What is checked.
const IMPORT: &str = "import";

/// The key of a claim, in the slot of the old record.
fn key(prefix: &str, old: &str) -> String {
    match hash_tag(old) {
        Some(tag) => format!("{prefix}express:{{{tag}}}:{old}"),
        None => format!("{prefix}express:{{{old}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pipeline::slot;
    use super::*;

    #[test]
    fn claim_is_in_the_slot_of_the_old_record() {
        for old in ["sess:PZ2oUXaX3o7p", "PZ2oUXaX3o7p", "{shop}:sess:PZ2oUXaX3o7p"] {
            assert_eq!(slot(&key("session:", old)), slot(old), "{old}");
        }
    }
}
