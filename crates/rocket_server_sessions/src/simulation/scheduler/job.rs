//! Pipelines that Redis executes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rocket::tokio::sync::oneshot;

use crate::simulation::choice::{Name, Option as Choice};
use crate::simulation::commands;
use crate::simulation::reply::{self, Command};
use crate::simulation::server::Connection;
use crate::simulation::world::{Author, Sent};
use crate::store::StoreError;

/// A pipeline that Redis executes unit by unit.
pub(in crate::simulation) struct Job {
    pub(in crate::simulation) author: Author,
    /// Identifies it: the request, whether the work is detached, and the number of the pipeline.
    pub(in crate::simulation) name: (usize, bool, usize),
    pub(in crate::simulation) done: usize,
    pub(in crate::simulation) units: std::vec::IntoIter<Vec<Command>>,
    pub(in crate::simulation) replies: Vec<redis::Value>,
    pub(in crate::simulation) connection: Connection,
    /// `None` if no request waits for the replies any longer.
    pub(in crate::simulation) answer:
        Option<oneshot::Sender<Result<Vec<redis::Value>, StoreError>>>,
}

impl Job {
    pub(in crate::simulation) fn new(sent: Sent, name: (usize, bool, usize)) -> Self {
        let Sent { packed, units, author, answer } = sent;
        let mut commands = reply::parse(&packed).into_iter();
        let units = units.into_iter().map(|count| commands.by_ref().take(count).collect());
        let units = units.collect::<Vec<_>>().into_iter();
        let (replies, connection) = (Vec::new(), Connection::default());
        Self { author, name, done: 0, units, replies, connection, answer: Some(answer) }
    }

    /// Its next unit, as the chooser sees it.
    pub(in crate::simulation) fn option(&self) -> Choice {
        let (request, is_detached, number) = self.name;
        let name: Name = (request, is_detached, number, self.done);
        let mut option = Choice { name: Some(name), ..Choice::default() };
        for command in self.units.as_slice().first().into_iter().flatten() {
            let is_read = commands::READS.contains(&commands::name(command).as_str());
            let keys = if is_read { &mut option.reads } else { &mut option.writes };
            keys.extend(commands::keys(command).iter().map(|key| hash(key)));
        }
        option
    }

    /// Its next unit, shortened for the trace.
    pub(in crate::simulation) fn describe(&self) -> String {
        let unit = self.units.as_slice().first();
        let words = unit.into_iter().flatten().map(words).collect::<Vec<_>>();
        let author = match self.author {
            Author::Step { request, .. } => format!("request {request}"),
            Author::Detached(request) => format!("detached work of request {request}"),
        };
        format!("{author}: {}", words.join(" | "))
    }
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// A command, shortened for the trace.
fn words(command: &Command) -> String {
    let short = |word: &Vec<u8>| {
        let text = String::from_utf8_lossy(word).replace('\n', " ");
        if text.len() > 60 && command[0] == b"EVAL" { format!("{}…", &text[..24]) } else { text }
    };
    command.iter().map(short).collect::<Vec<_>>().join(" ")
}
