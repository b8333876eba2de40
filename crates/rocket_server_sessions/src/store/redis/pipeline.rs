//! Encoded commands, in units that a server applies as a whole or not at all.

use std::ops::Range;

use redis::{Cmd, ToRedisArgs, cmd};

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// Encoded commands, in units that are applied as a whole or not at all.
#[derive(Default)]
pub(super) struct Pipeline {
    pub(super) packed: Vec<u8>,
    pub(super) units: Vec<Unit>,
}

/// One command, script or transaction.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// The end of its encoded commands.
    pub(super) end: usize,
    /// The number of its replies.
    pub(super) replies: usize,
    /// The number of commands that Upstash bills, including those inside scripts.
    pub(super) commands: usize,
    /// The cluster slot of its keys.
    pub(super) slot: u16,
}

impl Pipeline {
    /// The number of replies to all units.
    pub(super) fn replies(&self) -> usize {
        self.units.iter().map(|unit| unit.replies).sum()
    }

    /// The number of billed commands in all units.
    pub(super) fn commands(&self) -> usize {
        self.units.iter().map(|unit| unit.commands).sum()
    }

    pub(super) fn command(&mut self, name: &'static str, key: &str, args: impl ToRedisArgs) {
        write(&mut self.packed, name, key, args);
        self.close(1, 1, key);
    }

    /// Adds a script. `keys` must share a slot, and the script must run at most `commands`
    /// commands.
    pub(super) fn script(
        &mut self,
        text: &str,
        commands: usize,
        keys: &[&str],
        args: impl ToRedisArgs,
    ) {
        let mut command = cmd("EVAL");
        command.arg(text).arg(keys.len()).arg(keys).arg(args);
        command.write_packed_command(&mut self.packed);
        self.close(1, 1 + commands, keys.first().copied().unwrap_or_default());
    }

    /// Returns a pipeline of some of the units.
    pub(super) fn part(&self, units: Range<usize>) -> Self {
        let end_before = |at: usize| at.checked_sub(1).map_or(0, |before| self.units[before].end);
        let (start, end) = (end_before(units.start), end_before(units.end));
        let moved = |unit: &Unit| Unit { end: unit.end - start, ..*unit };
        Self {
            packed: self.packed[start..end].to_vec(),
            units: self.units[units].iter().map(moved).collect(),
        }
    }

    fn close(&mut self, replies: usize, commands: usize, key: &str) {
        self.units.push(Unit { end: self.packed.len(), replies, commands, slot: slot(key) });
    }

    /// Adds a transaction over `key`, and other keys in the same slot.
    pub(super) fn transaction(&mut self, key: &str, fill: impl FnOnce(&mut Transaction<'_>)) {
        cmd("MULTI").write_packed_command(&mut self.packed);
        let mut transaction = Transaction { packed: &mut self.packed, commands: 0 };
        fill(&mut transaction);
        let commands = transaction.commands;
        cmd("EXEC").write_packed_command(&mut self.packed);
        self.close(commands + 2, commands + 2, key);
    }
}

/// A transaction that is being written.
pub(super) struct Transaction<'p> {
    packed: &'p mut Vec<u8>,
    commands: usize,
}

impl Transaction<'_> {
    pub(super) fn command(&mut self, name: &'static str, key: &str, args: impl ToRedisArgs) {
        write(self.packed, name, key, args);
        self.commands += 1;
    }
}

fn write(packed: &mut Vec<u8>, name: &'static str, key: &str, args: impl ToRedisArgs) {
    // Room for the command of a view.
    let mut command = Cmd::with_capacity(4, 128);
    command.arg(name).arg(key).arg(args);
    command.write_packed_command(packed);
}

/// The cluster slot of a key, computed from its hash tag as specified by Redis Cluster.
pub(super) fn slot(key: &str) -> u16 {
    static CRC: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_XMODEM);
    CRC.checksum(hash_tag(key).unwrap_or(key).as_bytes()) % SLOTS
}

/// The text in a key's first braces. If there is any, it alone decides about the slot.
pub(crate) fn hash_tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_is_that_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31C3);
        assert_eq!(slot("session:{user1000}:a"), 3443);
        assert_eq!(slot("user1000"), 3443);
        assert_eq!(slot("foo{}{bar}"), 8363);
        assert_eq!(slot("foo{{bar}}zap"), slot("{bar"));
    }
}
