//! The Lua scripts, for calls that must check and write in one step.
//!
//! Each script declares its keys, which share a cluster slot, and checks the key before it writes.
//! Scripts are sent with `EVAL`, because they are short and rare, and so need not be loaded first.
//! Numbers are handled as strings, because Lua's have 53 bits of precision.
//!
//! A reply is a list that starts with what was found: `live`, `dead` with the tombstone's text,
//! `gone`, or another word that the script documents.

/// Finds out why `KEYS[1]` is not a hash.
macro_rules! absent {
    () => {
        "\
local function absent(reply)
  if not string.find(reply.err, '^WRONGTYPE') then return reply end
  local death = redis.pcall('GET', KEYS[1])
  if type(death) == 'string' then return {'dead', death} end
  return {'gone'}
end
"
    };
}

/// Returns from the script unless `KEYS[1]` is the live record of the session `ARGV[1]`.
macro_rules! live {
    () => {
        concat!(
            absent!(),
            "\
local id = redis.pcall('HGET', KEYS[1], '@id')
if type(id) == 'table' then return absent(id) end
if id ~= ARGV[1] then return {'gone'} end
"
        )
    };
}

/// Defines `set`, which sets fields of a hash. Their names and values are the arguments from `from`
/// on. Lua can unpack only a few thousand values at a time, so the fields are set in parts.
macro_rules! set {
    () => {
        "\
local function set(key, from)
  for at = from, #ARGV, 2000 do
    redis.call('HSET', key, unpack(ARGV, at, math.min(at + 1999, #ARGV)))
  end
end
"
    };
}

/// Applies changes and reads fields in one step. An increment of a field that is not an integer or
/// to a sum that is not in its range, or an exchange of a field that holds another text, fails
/// alone; the other changes are applied.
///
/// `ARGV`: the public id; the size limit, or `-1`; `all` or `some`; the number of changes; for each
/// its kind, field, value, and the text that an exchange expects or the range of an increment; and
/// the fields to read.
///
/// Replies `live`, the time of the last touch, the results, and the fields; or `large` and the
/// size. The limit is checked before anything is written, so nothing has to be undone.
pub(super) const UPDATE: &str = concat!(
    absent!(),
    "\
local flat = redis.pcall('HGETALL', KEYS[1])
if flat.err then return absent(flat) end
local record = {}
for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
if record['@id'] ~= ARGV[1] then return {'gone'} end
local limit, ops = tonumber(ARGV[2]), tonumber(ARGV[4])
local function change(i)
  return ARGV[5 + 4 * i], ARGV[6 + 4 * i], ARGV[7 + 4 * i], ARGV[8 + 4 * i]
end
local function sets(kind, held, current)
  return kind == 'insert' or kind == 'add' and not held or kind == 'exchange' and held == current
end
local function clear(fields)
  local names = {}
  for name in pairs(fields) do
    if string.sub(name, 1, 1) ~= '@' then names[#names + 1] = name end
  end
  for _, name in ipairs(names) do fields[name] = nil end
  return names
end
local function less(a, b)
  local is_negative = string.sub(a, 1, 1) == '-'
  if is_negative ~= (string.sub(b, 1, 1) == '-') then return is_negative end
  if is_negative then a, b = b, a end
  if #a ~= #b then return #a < #b end
  return a < b
end
local function fits(sum, range)
  local min, max = string.match(range, '(%S+) (%S+)')
  return not less(sum, min) and not less(max, sum)
end
local grown = {}
for name, value in pairs(record) do grown[name] = value end
local grows = false
for i = 0, ops - 1 do
  local kind, name, value, current = change(i)
  if sets(kind, grown[name], current) then
    grown[name], grows = value, true
  elseif kind == 'increment' and (grown[name] or fits(value, current)) then
    if not record[name] then grows = true end
    grown[name] = grown[name] or value
  elseif kind == 'remove' or kind == 'take' then
    grown[name] = nil
  elseif kind == 'clear' then
    clear(grown)
  end
end
if limit >= 0 and grows then
  local size = 0
  for name, value in pairs(grown) do
    if string.sub(name, 1, 1) ~= '@' then size = size + #name + #value end
  end
  if size > limit then return {'large', string.format('%.0f', size)} end
end
local results = {}
for i = 0, ops - 1 do
  local kind, name, value, current = change(i)
  if sets(kind, record[name], current) then
    redis.call('HSET', KEYS[1], name, value)
    record[name] = value
    results[i + 1] = 'done'
  elseif kind == 'add' or kind == 'exchange' then
    results[i + 1] = {record[name] or false}
  elseif kind == 'increment' then
    local sum = redis.pcall('HINCRBY', KEYS[1], name, value)
    if type(sum) == 'table' then
      if string.find(sum.err, 'overflow') then
        results[i + 1] = {}
      elseif string.find(sum.err, 'not an integer') then
        results[i + 1] = false
      else
        return sum
      end
    else
      if sum > -9007199254740992 and sum < 9007199254740992 then
        sum = string.format('%.0f', sum)
      else
        sum = redis.call('HGET', KEYS[1], name)
      end
      if fits(sum, current) then
        record[name] = sum
        results[i + 1] = sum
      else
        if record[name] then
          redis.call('HSET', KEYS[1], name, record[name])
        else
          redis.call('HDEL', KEYS[1], name)
        end
        results[i + 1] = {}
      end
    end
  elseif kind == 'clear' then
    local names = clear(record)
    for at = 1, #names, 1000 do
      redis.call('HDEL', KEYS[1], unpack(names, at, math.min(at + 999, #names)))
    end
    results[i + 1] = 'done'
  else
    results[i + 1] = kind == 'take' and record[name] or false
    redis.call('HDEL', KEYS[1], name)
    record[name] = nil
  end
end
local fields = {}
local function read(name)
  if record[name] then
    fields[#fields + 1] = name
    fields[#fields + 1] = record[name]
  end
end
if ARGV[3] == 'all' then
  for name in pairs(record) do read(name) end
else
  for i = 5 + 4 * ops, #ARGV do read(ARGV[i]) end
end
return {'live', record['@seen'] or false, results, fields}
"
);

/// Creates a record, unless the key exists. Replies `live` or `barred`.
///
/// `ARGV`: the time to live, and the fields with their values.
pub(super) const CREATE: &str = concat!(
    set!(),
    "\
if redis.call('EXISTS', KEYS[1]) == 1 then return {'barred'} end
set(KEYS[1], 2)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return {'live'}
"
);

/// Deletes a field that an increment created, unless it has been changed since.
///
/// `ARGV`: the public id, the field, and the result of the increment. Replies `live`, and whether
/// the field was deleted.
pub(super) const TAKE_BACK: &str = concat!(
    live!(),
    "\
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return {'live', '0'} end
redis.call('HDEL', KEYS[1], ARGV[2])
return {'live', '1'}
"
);

/// Defines `time_to_live`, the time to live of a record: its own idle timeout if that is longer
/// than `idle`, but not more than `max`.
macro_rules! time_to_live {
    () => {
        "\
local function time_to_live(own, idle, max)
  local ttl = math.min(math.max(tonumber(own or 0) or 0, tonumber(idle)), tonumber(max))
  return string.format('%.0f', ttl)
end
"
    };
}

/// Renews a record's time to live. A plain `EXPIRE` would also extend a tombstone's.
///
/// `ARGV`: the public id, the time now, the idle timeout, and the maximum time to live, in seconds.
pub(super) const TOUCH: &str = concat!(
    absent!(),
    time_to_live!(),
    "\
local held = redis.pcall('HMGET', KEYS[1], '@id', '@idle')
if held.err then return absent(held) end
if held[1] ~= ARGV[1] then return {'gone'} end
redis.call('HSET', KEYS[1], '@seen', ARGV[2])
redis.call('EXPIRE', KEYS[1], time_to_live(held[2], ARGV[3], ARGV[4]))
return {'live'}
"
);

/// Moves a record to a new key, and writes a tombstone to the old one. Logs a user in, if one is
/// given.
///
/// `KEYS`: the old and the new key. `ARGV`: the public id; the time to live of the tombstone; the
/// idle timeout; the user, or an empty string; the maximum time to live; and the fields to set,
/// with their values.
///
/// Replies `live`; `other` and the user whose session was destroyed instead; or `barred` if the new
/// key exists.
///
/// `RENAME` comes first: if the ACL forbids it, nothing was changed. It is allowed when memory is
/// full, and the script may then write.
pub(super) const ROTATE: &str = concat!(
    live!(),
    time_to_live!(),
    set!(),
    "\
local held = redis.call('HMGET', KEYS[1], '@user', '@idle')
local owner = held[1]
if ARGV[4] ~= '' and owner and owner ~= ARGV[4] then
  redis.call('DEL', KEYS[1])
  redis.pcall('SET', KEYS[1], 'destroyed', 'EX', ARGV[2])
  return {'other', owner}
end
if redis.call('EXISTS', KEYS[2]) == 1 then return {'barred'} end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('SET', KEYS[1], 'rotated', 'EX', ARGV[2])
redis.call('EXPIRE', KEYS[2], time_to_live(held[2], ARGV[3], ARGV[5]))
set(KEYS[2], 6)
return {'live'}
"
);

/// Deletes a record, and then tries to write a tombstone. Deleting works even when memory is full.
///
/// `ARGV`: the public id, the time to live of the tombstone, and the user whose record it must be,
/// or an empty string. Replies `live` and the user who was logged in; or `other`.
pub(super) const DESTROY: &str = concat!(
    live!(),
    "\
local owner = redis.call('HGET', KEYS[1], '@user')
if ARGV[3] ~= '' and owner ~= ARGV[3] then return {'other'} end
redis.call('DEL', KEYS[1])
redis.pcall('SET', KEYS[1], 'destroyed', 'EX', ARGV[2])
return {'live', owner}
"
);

/// Writes a tombstone, unless the record or a tombstone exists. Then no record can be created
/// there.
///
/// `DEL` comes first: it is allowed when memory is full, and the script may then write. Otherwise a
/// pending script that memory does not stop, such as a rotation, could still create the record.
///
/// `ARGV`: the public id, and the time to live of the tombstone.
pub(super) const SETTLE: &str = concat!(
    absent!(),
    "\
local id = redis.pcall('HGET', KEYS[1], '@id')
if type(id) == 'table' then return absent(id) end
if id == ARGV[1] then return {'live'} end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], 'destroyed', 'EX', ARGV[2])
return {'gone'}
"
);

/// Deletes a hash that an increment created after the record had vanished.
///
/// `ARGV`: the public id.
pub(super) const DELETE_ORPHAN: &str = "\
local id = redis.pcall('HGET', KEYS[1], '@id')
if type(id) ~= 'table' and id ~= ARGV[1] then redis.call('DEL', KEYS[1]) end
return {'gone'}
";
