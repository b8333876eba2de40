//! Encoded commands that the socket has not accepted yet.

use std::io;
use std::task::Context;

use super::transport::Transport;

/// The capacity that an empty buffer keeps.
const KEPT: usize = 64 << 10;

#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them the socket has accepted.
    accepted: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn push(&mut self, commands: &[u8]) {
        self.bytes.extend_from_slice(commands);
    }

    /// Writes as much as the socket accepts. The task is woken when it accepts more.
    pub(super) fn send(&mut self, to: &mut Transport, cx: &mut Context<'_>) -> io::Result<()> {
        self.accepted += to.send(cx, &self.bytes[self.accepted..])?;
        if self.accepted == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.accepted = 0;
        }
        Ok(())
    }
}
