"""The scripts that copy topics (`store.stream_copies`). KEYS[1] is the topic's log, ARGV[1] what its keys begin with;
what is staged begins with `r:` behind that, and ends by itself after a day."""

from __future__ import annotations

from typing import Final

from gateway.store.client import Script

_PRELUDE = """
local log, base = KEYS[1], ARGV[1]
local stage = base .. 'r:'
local parts = {'due:', 'waiting:', 'why:', 'dead:', 'buried:', 'moved:'}
local function map(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end
local function all(of)
  local names = {of .. 'log', of .. 'groups', of .. 'trimmed'}
  for _, group in ipairs(redis.call('HKEYS', of .. 'groups')) do
    for _, part in ipairs(parts) do names[#names + 1] = of .. part .. group end
  end
  return names
end
"""

# The newest id that was cut off, the newest that was given out, and of each group: name, start, position.
STATE: Final = Script(
    _PRELUDE
    + """
if redis.call('EXISTS', log) == 0 then return {'', '', {}} end
local found = {}
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', log)) do
  local one = map(flat)
  local start = redis.call('HGET', base .. 'groups', one['name']) or '0-0'
  found[#found + 1] = {one['name'], start, one['last-delivered-id']}
end
local newest = map(redis.call('XINFO', 'STREAM', log))['last-generated-id']
return {redis.call('GET', base .. 'trimmed') or '', newest, found}
"""
)

# base, group, after, position, count. What was delivered up to the position and is not finished.
PENDING: Final = Script(
    _PRELUDE
    + """
local group, found = ARGV[2], {}
for _, one in ipairs(redis.call('XPENDING', log, group, ARGV[3], ARGV[4], ARGV[5])) do
  local id = one[1]
  found[#found + 1] = {
    id, one[4], redis.call('ZSCORE', base .. 'due:' .. group, id) or '0',
    redis.call('SISMEMBER', base .. 'waiting:' .. group, id), redis.call('HGET', base .. 'why:' .. group, id) or ''
  }
end
return found
"""
)

# base, group
MOVED: Final = Script(_PRELUDE + "return redis.call('HGETALL', base .. 'moved:' .. ARGV[2])")

UNSTAGE: Final = Script(_PRELUDE + "return redis.call('UNLINK', unpack(all(stage)))")

# base, kind, then what a row of that kind has
PASTE: Final = Script(
    _PRELUDE
    + """
local kind, to = ARGV[2], stage .. 'log'
if kind == 'topic' then
  if ARGV[3] ~= '' then redis.call('SET', stage .. 'trimmed', ARGV[3]) end
  if ARGV[4] ~= '' then
    redis.call('XGROUP', 'CREATE', to, '-', '0', 'MKSTREAM')
    redis.call('XGROUP', 'DESTROY', to, '-')
    redis.call('HSET', stage .. 'newest', 'id', ARGV[4])
  end
elseif kind == 'entry' then redis.call('XADD', to, ARGV[3], unpack(ARGV, 4))
elseif kind == 'group' then
  redis.call('XGROUP', 'CREATE', to, ARGV[3], ARGV[5], 'MKSTREAM')
  redis.call('HSET', stage .. 'groups', ARGV[3], ARGV[4])
elseif kind == 'pending' then
  local group, id = ARGV[3], ARGV[4]
  local claimed = redis.call('XCLAIM', to, group, '-', 0, id, 'RETRYCOUNT', ARGV[5], 'FORCE', 'JUSTID')
  if claimed[1] then
    redis.call('ZADD', stage .. 'due:' .. group, ARGV[6], id)
    if ARGV[7] == '1' then redis.call('SADD', stage .. 'waiting:' .. group, id) end
    if ARGV[8] ~= '' then redis.call('HSET', stage .. 'why:' .. group, id, ARGV[8]) end
  end
elseif kind == 'moved' then redis.call('HSET', stage .. 'moved:' .. ARGV[3], ARGV[4], ARGV[5])
elseif kind == 'dead' then
  redis.call('XADD', stage .. 'dead:' .. ARGV[3], ARGV[4], unpack(ARGV, 6))
  redis.call('HSET', stage .. 'buried:' .. ARGV[3], ARGV[5], ARGV[4])
end
for _, name in ipairs(all(stage)) do redis.call('PEXPIRE', name, 86400000) end
redis.call('PEXPIRE', stage .. 'newest', 86400000)
return 1
"""
)

# base, most entries, most bytes. What the topic got since the backup stays behind it: messages, dead letters, and
# subscriptions, which begin anew. Copies so much of that, and takes the topic's place (1) once nothing is left to copy;
# else (0) to be run again. What is there already is known by its id, so that it may be cut off anywhere.
RENAME: Final = Script(
    _PRELUDE
    + """
local newest, to = redis.call('HGET', stage .. 'newest', 'id'), stage .. 'log'
local entries, bytes, page = tonumber(ARGV[2]), tonumber(ARGV[3]), 16
local function copy(source, target, after, each)
  while true do
    local found = redis.call('XRANGE', source, '(' .. after, '+', 'COUNT', page)
    for _, one in ipairs(found) do
      if entries <= 0 or bytes <= 0 then return false end
      redis.call('XADD', target, one[1], unpack(one[2]))
      if each then each(one) end
      after, entries = one[1], entries - 1
      for _, part in ipairs(one[2]) do bytes = bytes - #part end
    end
    if #found < page then return true end
  end
end
local function lasts()
  for _, name in ipairs(all(stage)) do redis.call('PEXPIRE', name, 86400000) end
  return 0
end
if redis.call('EXISTS', to) == 1 and (not newest or redis.pcall('XSETID', to, newest)['err']) then
  newest = map(redis.call('XINFO', 'STREAM', to))['last-generated-id'] -- entries of after it was noted are there
end
local groups = redis.call('HGETALL', base .. 'groups')
for i = 1, #groups, 2 do
  if redis.call('HSETNX', stage .. 'groups', groups[i], groups[i + 1]) == 1 then
    redis.call('XGROUP', 'CREATE', to, groups[i], groups[i + 1], 'MKSTREAM')
  end
end
if not copy(log, to, newest or '0-0') then return lasts() end
for i = 1, #groups, 2 do
  local group = groups[i]
  local dead = stage .. 'dead:' .. group
  local last = redis.call('XREVRANGE', dead, '+', '-', 'COUNT', 1)[1]
  local function buried(one) redis.call('HSET', stage .. 'buried:' .. group, map(one[2])['o'], one[1]) end
  if not copy(base .. 'dead:' .. group, dead, last and last[1] or '0-0', buried) then return lasts() end
end
redis.call('UNLINK', stage .. 'newest', unpack(all(base)))
for _, name in ipairs(all(stage)) do
  if redis.call('EXISTS', name) == 1 then
    redis.call('PERSIST', name)
    redis.call('RENAME', name, base .. string.sub(name, #stage + 1))
  end
end
return 1
"""
)
