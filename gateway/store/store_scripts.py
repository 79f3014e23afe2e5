"""The scripts of the control plane's store (`store.redis_store`). All keys of one share its hash tag."""

from __future__ import annotations

from typing import Final

from gateway.store.client import Script

# KEYS: seq, log, audit, schema, oldest schema, id, then the writes' tables, each with the order of its keys behind it.
# ARGV: form, oldest form that goes beside it, log length, audit length, audit JSON or '', time, channel, an id for a
# store without one, then for each write: index of its table in KEYS, key, expected version or '', 'p' or 'd', JSON,
# JSON for the log
COMMIT: Final = Script("""
local schema, oldest = redis.call('GET', KEYS[4]), redis.call('GET', KEYS[5])
if schema and tonumber(oldest or schema) > tonumber(ARGV[1]) then return {'schema', schema, oldest or schema} end
for i = 9, #ARGV, 6 do
  if ARGV[i + 2] ~= '' then
    local found = redis.call('HGET', KEYS[tonumber(ARGV[i])], ARGV[i + 1])
    local version = found and string.match(found, '^(%d+):') or '0'
    if version ~= ARGV[i + 2] then return {'conflict', tostring((i - 9) / 6), version} end
  end
end
if not schema then redis.call('MSET', KEYS[4], ARGV[1], KEYS[5], ARGV[2]) end
redis.call('SETNX', KEYS[6], ARGV[8])
local seq = string.format('%.0f', redis.call('INCR', KEYS[1]))
local entry = {}
for i = 9, #ARGV, 6 do
  local hash = KEYS[tonumber(ARGV[i])]
  local order = KEYS[tonumber(ARGV[i]) + 1]
  if ARGV[i + 3] == 'p' then
    redis.call('HSET', hash, ARGV[i + 1], seq .. ':' .. ARGV[i + 4])
    redis.call('ZADD', order, 0, ARGV[i + 1])
  else
    redis.call('HDEL', hash, ARGV[i + 1])
    redis.call('ZREM', order, ARGV[i + 1])
  end
  entry[#entry + 1] = ARGV[i + 5]
end
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], seq .. '-0', 'c', '[' .. table.concat(entry, ',') .. ']')
if ARGV[5] ~= '' then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], seq .. '-0', 'a', ARGV[5], 't', ARGV[6])
end
redis.call('PUBLISH', ARGV[7], seq)
return {'ok', seq}
""")

# KEYS: seq, log, schema, oldest schema. ARGV: after, form. The newest sequence and the entries behind `after`, as of
# one moment.
CHANGES: Final = Script("""
local schema, oldest = redis.call('GET', KEYS[3]), redis.call('GET', KEYS[4])
if schema and tonumber(oldest or schema) > tonumber(ARGV[2]) then return {'schema', schema, oldest or schema} end
local found = redis.call('XRANGE', KEYS[2], '(' .. ARGV[1] .. '-0', '+')
local entries = {}
for _, entry in ipairs(found) do
  entries[#entries + 1] = entry[1]
  entries[#entries + 1] = entry[2][2]
end
return {redis.call('GET', KEYS[1]) or '0', entries}
""")

# KEYS: table, order of its keys. ARGV: after or '', limit. An order that does not fit is that of a store that an older
# release wrote to: it is made anew.
PAGE: Final = Script("""
if redis.call('HLEN', KEYS[1]) ~= redis.call('ZCARD', KEYS[2]) then
  redis.call('DEL', KEYS[2])
  for _, key in ipairs(redis.call('HKEYS', KEYS[1])) do redis.call('ZADD', KEYS[2], 0, key) end
end
local first = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local found = {}
for _, key in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], first, '+', 'LIMIT', 0, ARGV[2])) do
  found[#found + 1] = key
  found[#found + 1] = redis.call('HGET', KEYS[1], key) or ''
end
return found
""")

AUDIT: Final = Script("""
local before = ARGV[1] == '' and '+' or '(' .. ARGV[1] .. '-0'
local entries = {}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], before, '-', 'COUNT', ARGV[2])) do
  entries[#entries + 1] = {entry[1], entry[2][2], entry[2][4]}
end
return entries
""")

# KEYS: nodes. ARGV: prefix of a node's key. Forgets the members whose heartbeat expired.
NODES: Final = Script("""
local alive = {}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local state = redis.call('GET', ARGV[1] .. name)
  if state then
    alive[#alive + 1] = name
    alive[#alive + 1] = state
  else redis.call('SREM', KEYS[1], name) end
end
return alive
""")
