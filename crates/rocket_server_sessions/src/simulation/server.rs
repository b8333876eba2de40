//! A simulated Redis, which executes one command at a time.

use std::cell::RefCell;
use std::rc::Rc;

use super::commands::{FULL, check, name, out_of_memory, run};
use super::keyspace::Keyspace;
use super::lua::Scripts;
use super::reply::{Command, Reply};

/// The server. Its state is shared with the scripts that it runs.
pub(super) struct Server {
    pub(super) keyspace: Rc<RefCell<Keyspace>>,
    scripts: Scripts,
}

/// What the server remembers of a connection: the commands of a transaction.
#[derive(Default)]
pub(super) struct Connection {
    queued: Option<Vec<Command>>,
    is_aborted: bool,
}

impl Server {
    pub(super) fn new() -> Self {
        let keyspace = Rc::<RefCell<Keyspace>>::default();
        Self { scripts: Scripts::new(&keyspace), keyspace }
    }

    /// Executes one command of a connection.
    pub(super) fn execute(&self, connection: &mut Connection, command: Command) -> Reply {
        let name = name(&command);
        let is_full = self.keyspace.borrow().is_full;
        match (name.as_str(), &mut connection.queued) {
            ("MULTI", Some(_)) if !is_full => Reply::error("ERR MULTI calls can not be nested"),
            ("MULTI", None) => {
                *connection = Connection { queued: Some(Vec::new()), is_aborted: false };
                Reply::ok()
            }
            ("EXEC", None) => Reply::error("ERR EXEC without MULTI"),
            ("EXEC", Some(_)) => {
                let Connection { queued, is_aborted } = std::mem::take(connection);
                if is_aborted {
                    return Reply::error(
                        "EXECABORT Transaction discarded because of previous errors.",
                    );
                }
                let commands = queued.unwrap_or_default();
                Reply::Array(commands.iter().map(|command| self.run(command)).collect())
            }
            (_, Some(queued)) => {
                // Any queued command takes memory.
                let wrong = if name == "MULTI" { None } else { check(&command) };
                let refused = wrong.or_else(|| is_full.then(|| Reply::error(FULL)));
                if let Some(error) = refused {
                    connection.is_aborted = true;
                    return error;
                }
                queued.push(command);
                Reply::Status("QUEUED".into())
            }
            (_, None) => {
                let refused = check(&command).or_else(|| out_of_memory(&name, is_full));
                refused.unwrap_or_else(|| self.run(&command))
            }
        }
    }

    fn run(&self, command: &Command) -> Reply {
        if name(command) == "EVAL" {
            return self.scripts.eval(command);
        }
        run(&mut self.keyspace.borrow_mut(), command)
    }
}
