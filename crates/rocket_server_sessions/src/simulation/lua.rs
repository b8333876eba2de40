//! Runs scripts in a real Lua 5.1, as Redis does: atomically, with `redis.call` and `redis.pcall`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::commands;
use super::keyspace::Keyspace;
use super::reply::{Command, Reply};

/// The interpreter, and the scripts that it has compiled.
pub(super) struct Scripts {
    lua: Lua,
    compiled: RefCell<HashMap<Vec<u8>, Function>>,
    /// Whether the running script has written: from then on, full memory does not stop it.
    has_written: Rc<Cell<bool>>,
}

impl Scripts {
    pub(super) fn new(keyspace: &Rc<RefCell<Keyspace>>) -> Self {
        let scripts =
            Self { lua: Lua::new(), compiled: RefCell::default(), has_written: Rc::default() };
        scripts.provide(keyspace).expect("Lua takes functions");
        scripts
    }

    fn provide(&self, keyspace: &Rc<RefCell<Keyspace>>) -> mlua::Result<()> {
        let redis = self.lua.create_table()?;
        for (name, is_protected) in [("call", false), ("pcall", true)] {
            let (keyspace, has_written) = (Rc::clone(keyspace), Rc::clone(&self.has_written));
            let call = self.lua.create_function(move |lua, arguments: MultiValue| {
                let reply = call(&mut keyspace.borrow_mut(), &has_written, arguments)?;
                match reply {
                    Reply::Error(text) if !is_protected => Err(mlua::Error::external(Raised(text))),
                    reply => into_lua(lua, reply),
                }
            })?;
            redis.set(name, call)?;
        }
        for (name, field) in [("error_reply", "err"), ("status_reply", "ok")] {
            let reply = self.lua.create_function(move |lua, text: String| {
                let table = lua.create_table()?;
                let text = if field == "err" { with_code(&text) } else { text };
                table.set(field, text)?;
                Ok(table)
            })?;
            redis.set(name, reply)?;
        }
        self.lua.globals().set("redis", redis)
    }

    /// Executes `EVAL script numkeys key … argument …`.
    pub(super) fn eval(&self, command: &Command) -> Reply {
        let Some(keys) = std::str::from_utf8(&command[2]).ok().and_then(|it| it.parse().ok())
        else {
            return Reply::error("ERR value is not an integer or out of range");
        };
        let rest = &command[3..];
        if rest.len() < keys {
            return Reply::error("ERR Number of keys can't be greater than number of args");
        }
        let (keys, arguments) = rest.split_at(keys);
        self.has_written.set(false);
        match self.run(&command[1], keys, arguments) {
            Ok(value) => from_lua(value),
            Err(error) => failure(&error),
        }
    }

    fn run(&self, script: &[u8], keys: &[Vec<u8>], arguments: &[Vec<u8>]) -> mlua::Result<Value> {
        let strings = |items: &[Vec<u8>]| {
            let items = items.iter().map(|it| self.lua.create_string(it));
            self.lua.create_sequence_from(items.collect::<mlua::Result<Vec<_>>>()?)
        };
        self.lua.globals().set("KEYS", strings(keys)?)?;
        self.lua.globals().set("ARGV", strings(arguments)?)?;
        let known = self.compiled.borrow().get(script).cloned();
        if let Some(function) = known {
            return function.call(());
        }
        let function = self.lua.load(script).into_function()?;
        self.compiled.borrow_mut().insert(script.to_vec(), function.clone());
        function.call(())
    }
}

fn call(
    keyspace: &mut Keyspace,
    has_written: &Cell<bool>,
    arguments: MultiValue,
) -> mlua::Result<Reply> {
    let mut command = Command::new();
    for argument in arguments {
        command.push(match argument {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Integer(number) => number.to_string().into_bytes(),
            Value::Number(number) => number.to_string().into_bytes(),
            other => {
                let kind = other.type_name();
                return Err(mlua::Error::runtime(format!(
                    "a {kind} cannot be an argument of a command"
                )));
            }
        });
    }
    let name = commands::name(&command);
    if let Some(error) = commands::check(&command) {
        return Ok(error);
    }
    let is_full = keyspace.is_full && !has_written.get();
    if let Some(error) = commands::out_of_memory(&name, is_full) {
        return Ok(error);
    }
    has_written.set(has_written.get() || !commands::READS.contains(&name.as_str()));
    Ok(commands::run(keyspace, &command))
}

/// Converts a reply of Redis to the value that a script gets.
fn into_lua(lua: &Lua, reply: Reply) -> mlua::Result<Value> {
    let single = |field: &str, text: String| {
        let table = lua.create_table()?;
        table.set(field, text)?;
        Ok(Value::Table(table))
    };
    match reply {
        Reply::Status(text) => single("ok", text),
        Reply::Error(text) => single("err", text),
        #[expect(clippy::cast_precision_loss, reason = "a number of Lua 5.1 is a double")]
        Reply::Int(number) => Ok(Value::Number(number as f64)),
        Reply::Bulk(bytes) => lua.create_string(bytes).map(Value::String),
        Reply::Nil => Ok(Value::Boolean(false)),
        Reply::Array(items) => {
            let items = items.into_iter().map(|it| into_lua(lua, it));
            let items = items.collect::<mlua::Result<Vec<_>>>()?;
            lua.create_sequence_from(items).map(Value::Table)
        }
    }
}

/// Converts the value that a script returns to a reply.
fn from_lua(value: Value) -> Reply {
    match value {
        Value::String(text) => Reply::Bulk(text.as_bytes().to_vec()),
        Value::Integer(number) => Reply::Int(number),
        #[expect(clippy::cast_possible_truncation, reason = "as Redis does")]
        Value::Number(number) => Reply::Int(number as i64),
        Value::Boolean(true) => Reply::Int(1),
        Value::Table(table) => from_table(&table),
        _ => Reply::Nil,
    }
}

fn from_table(table: &Table) -> Reply {
    if let Ok(text) = table.get::<String>("err") {
        return Reply::Error(text);
    }
    if let Ok(text) = table.get::<String>("ok") {
        return Reply::Status(text);
    }
    // A list ends at its first nil.
    let items = table.sequence_values::<Value>();
    Reply::Array(items.map_while(Result::ok).map(from_lua).collect())
}

/// Adds the default code to an error that has none.
fn with_code(text: &str) -> String {
    let text = text.strip_prefix('-').unwrap_or(text);
    if text.contains(' ') { text.to_owned() } else { format!("ERR {text}") }
}

/// An error that `redis.call` raises.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

/// The error that a client gets if a script fails. Redis adds the position.
fn failure(error: &mlua::Error) -> Reply {
    let text = match error.chain().find_map(|it| it.downcast_ref::<Raised>()) {
        Some(Raised(text)) => text.clone(),
        None => panic!("a script is wrong: {error}"),
    };
    Reply::Error(format!("{text} script: simulated, on @user_script:1."))
}
