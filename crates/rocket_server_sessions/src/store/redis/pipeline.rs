//! Commands on their way: packed, and in units that a server carries out as a whole or not at all.

use std::ops::Range;

use redis::{ToRedisArgs, cmd};

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// Packed commands, in units that are carried out as a whole or not at all.
#[derive(Default)]
pub(super) struct Pipeline {
    pub(super) packed: Vec<u8>,
    pub(super) units: Vec<Unit>,
}

/// One command, or one transaction.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// Where its packed commands end.
    pub(super) end: usize,
    /// How many replies it gets.
    pub(super) replies: usize,
    /// How many commands it is billed as at Upstash: a script is billed with each command in it.
    pub(super) commands: usize,
    /// The cluster slot of its keys.
    pub(super) slot: u16,
}

impl Pipeline {
    /// How many replies come in all.
    pub(super) fn replies(&self) -> usize {
        self.units.iter().map(|unit| unit.replies).sum()
    }

    /// How many commands it is billed as in all.
    pub(super) fn commands(&self) -> usize {
        self.units.iter().map(|unit| unit.commands).sum()
    }

    pub(super) fn command(&mut self, name: &'static str, key: &str, args: impl ToRedisArgs) {
        write(&mut self.packed, name, key, args);
        self.close(1, 1, key);
    }

    /// A script, over keys of one slot, which carries out so many commands at most. It is sent whole.
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

    /// Some of the units alone.
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

    /// Commands about `key`, and others in the same slot, that are carried out in one step.
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
    let mut command = cmd(name);
    command.arg(key).arg(args);
    command.write_packed_command(packed);
}

/// The cluster slot of a key: what stands in its braces decides, as the Redis Cluster Specification
/// says.
fn slot(key: &str) -> u16 {
    static CRC: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_XMODEM);
    let tag = key.split_once('{').and_then(|(_, rest)| Some(rest.split_once('}')?.0));
    CRC.checksum(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS
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
