"""The scripts of event streams. Each is one atomic step; KEYS[1] is the topic's log, ARGV[1] what its keys begin with.

All keys of a topic share the hash tag {topic}: `log` the stream · `trimmed` the newest id that was cut off ·
`groups` group → the id it started behind · `due:G` id → when it is delivered again (lease or delay, ms) ·
`waiting:G` ids that wait after a failure · `why:G` id → reason · `dead:G` stream of dead letters ·
`buried:G` origin → dead letter · `moved:G` origin → id after a redrive · `seen:HASH` names of messages, with an end.
An entry has p (payload), h (properties, JSON); after a redrive also o (origin) and g (the one group that it is for).
"""

from __future__ import annotations

from typing import Final

from gateway.store.client import Script

_PRELUDE = """
local log, base = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end
local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end
local function less(a, b)
  local am, an = parts(a)
  local bm, bn = parts(b)
  return am < bm or (am == bm and an < bn)
end
local function after(id)
  local ms, number = parts(id)
  return text(ms) .. '-' .. text(number + 1)
end
local function map(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end
local function entry(id)
  local found = redis.call('XRANGE', log, id, id)
  return found[1] and map(found[1][2])
end
local function groups()
  local found = {}
  if redis.call('EXISTS', log) == 1 then
    for _, one in ipairs(redis.call('XINFO', 'GROUPS', log)) do found[#found + 1] = map(one) end
  end
  return found
end
local function known(group) return redis.call('HEXISTS', base .. 'groups', group) == 1 end
local function held(group, id, attempt)
  if not known(group) then return 'nogroup' end
  local found = redis.call('XPENDING', log, group, id, id, 1)[1]
  if not found then return 'gone' end
  if attempt ~= '' and tonumber(attempt) ~= found[4] then return 'late' end
  return nil, found[4]
end
local function finish(group, id, origin)
  redis.call('XACK', log, group, id)
  redis.call('ZREM', base .. 'due:' .. group, id)
  redis.call('SREM', base .. 'waiting:' .. group, id)
  redis.call('HDEL', base .. 'why:' .. group, id)
  redis.call('HDEL', base .. 'moved:' .. group, origin)
end
"""

# base, payload, properties, maximum length, name's hash or '', fingerprint, ms to remember the name
APPEND: Final = Script(
    _PRELUDE
    + """
local function floor()
  local first = nil
  for _, group in ipairs(groups()) do
    local needed = after(group['last-delivered-id'])
    if group['pending'] > 0 then needed = redis.call('XPENDING', log, group['name'])[2] end
    if not first or less(needed, first) then first = needed end
  end
  return first and '(' .. first or '+'
end
local function room(maximum)
  local over = redis.call('XLEN', log) - maximum + 1
  if over <= 0 then return true end
  local finished = floor()
  while over > 0 do
    local old = redis.call('XRANGE', log, '-', finished, 'COUNT', math.min(over, 100))
    if #old == 0 then return false end
    local last = old[#old][1]
    redis.call('XTRIM', log, 'MINID', after(last))
    redis.call('SET', base .. 'trimmed', last)
    over = over - #old
  end
  return true
end
local seen = base .. 'seen:' .. ARGV[5]
if ARGV[5] ~= '' then
  local found = redis.call('GET', seen)
  if found then
    local print, id = string.match(found, '^(%x+):(.+)$')
    local trimmed = redis.call('GET', base .. 'trimmed')
    if entry(id) or (trimmed and not less(trimmed, id)) then
      return {print == ARGV[6] and 'ok' or 'conflict', id}
    end
  end
end
if not room(tonumber(ARGV[4])) then return {'full'} end
local id = redis.call('XADD', log, '*', 'p', ARGV[2], 'h', ARGV[3])
if ARGV[5] ~= '' then redis.call('SET', seen, ARGV[6] .. ':' .. id, 'PX', ARGV[7]) end
return {'ok', id}
"""
)

# base, group, 'beginning' or 'end'
CREATE: Final = Script(
    _PRELUDE
    + """
local group = ARGV[2]
if known(group) then return {'ok', 0} end
redis.call('XGROUP', 'CREATE', log, group, ARGV[3] == 'end' and '$' or '0', 'MKSTREAM')
local start = '0-0'
if ARGV[3] == 'end' then start = map(redis.call('XINFO', 'STREAM', log))['last-generated-id'] end
redis.call('HSET', base .. 'groups', group, start)
return {'ok', 1}
"""
)

# base, group, or base alone for the whole topic
DROP: Final = Script(
    _PRELUDE
    + """
for _, one in ipairs(groups()) do
  local group = one['name']
  if not ARGV[2] or ARGV[2] == group then
    redis.call('XGROUP', 'DESTROY', log, group)
    redis.call('HDEL', base .. 'groups', group)
    for _, part in ipairs({'due:', 'waiting:', 'why:', 'dead:', 'buried:', 'moved:'}) do
      redis.call('DEL', base .. part .. group)
    end
  end
end
if not ARGV[2] then redis.call('DEL', log, base .. 'groups', base .. 'trimmed') end
return {'ok'}
"""
)

# base, group, consumer, count, lease in ms
READ: Final = Script(
    _PRELUDE
    + """
local group, consumer, count, lease = ARGV[2], ARGV[3], tonumber(ARGV[4]), now + tonumber(ARGV[5])
if not known(group) then return {'nogroup'} end
local due, found = base .. 'due:' .. group, {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, count)) do
  local claimed = redis.call('XCLAIM', log, group, consumer, 0, id)[1]
  redis.call('SREM', base .. 'waiting:' .. group, id)
  if claimed then
    redis.call('ZADD', due, text(lease), id)
    found[#found + 1] = {id, claimed[2], redis.call('XPENDING', log, group, id, id, 1)[1][4]}
  else redis.call('ZREM', due, id) end
end
while #found < count do
  local new = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count - #found, 'STREAMS', log, '>')
  if not new or not new[1] then break end
  for _, one in ipairs(new[1][2]) do
    local target = map(one[2])['g']
    if target and target ~= group then redis.call('XACK', log, group, one[1])
    else
      redis.call('ZADD', due, text(lease), one[1])
      found[#found + 1] = {one[1], one[2], 1}
    end
  end
end
local last, wait = '', ''
if #found == 0 then
  for _, one in ipairs(groups()) do if one['name'] == group then last = one['last-delivered-id'] end end
  local soonest = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if soonest[2] then wait = text(math.max(0, tonumber(soonest[2]) - now)) end
end
return {'ok', found, last, wait}
"""
)

# base, group, id, attempt or ''
ACK: Final = Script(
    _PRELUDE
    + """
local refused = held(ARGV[2], ARGV[3], ARGV[4])
if refused then return {refused} end
local found = entry(ARGV[3])
finish(ARGV[2], ARGV[3], found and found['o'] or ARGV[3])
return {'ok'}
"""
)

# base, group, id, attempt, lease in ms
EXTEND: Final = Script(
    _PRELUDE
    + """
local refused = held(ARGV[2], ARGV[3], ARGV[4])
if refused then return {refused} end
redis.call('ZADD', base .. 'due:' .. ARGV[2], text(now + tonumber(ARGV[5])), ARGV[3])
return {'ok'}
"""
)

# base, group, id, attempt or '', delay in ms, reason
RETRY: Final = Script(
    _PRELUDE
    + """
local refused = held(ARGV[2], ARGV[3], ARGV[4])
if refused then return {refused} end
redis.call('ZADD', base .. 'due:' .. ARGV[2], text(now + tonumber(ARGV[5])), ARGV[3])
redis.call('SADD', base .. 'waiting:' .. ARGV[2], ARGV[3])
redis.call('HSET', base .. 'why:' .. ARGV[2], ARGV[3], ARGV[6])
return {'ok'}
"""
)

# base, group, id, attempt, reason, error
BURY: Final = Script(
    _PRELUDE
    + """
local group, id = ARGV[2], ARGV[3]
local refused, attempts = held(group, id, ARGV[4])
if refused then return {refused} end
local found = entry(id)
if not found then return {'gone'} end
local origin = found['o'] or id
local dead = redis.call('XADD', base .. 'dead:' .. group, '*', 'o', origin, 'p', found['p'], 'h', found['h'],
  'a', attempts, 'r', ARGV[5], 'e', ARGV[6], 't', text(now))
finish(group, id, origin)
redis.call('HSET', base .. 'buried:' .. group, origin, dead)
return {'ok', dead}
"""
)

# base, group, consumer
RELEASE: Final = Script(
    _PRELUDE
    + """
local group, consumer, given = ARGV[2], ARGV[3], 0
if not known(group) then return {'nogroup'} end
while true do
  local some = redis.call('XPENDING', log, group, '-', '+', 100, consumer)
  if #some == 0 then break end
  for _, one in ipairs(some) do
    redis.call('XCLAIM', log, group, '-', 0, one[1], 'JUSTID')
    if redis.call('SISMEMBER', base .. 'waiting:' .. group, one[1]) == 0 then
      redis.call('ZADD', base .. 'due:' .. group, text(now), one[1])
      given = given + 1
    end
  end
end
redis.call('XGROUP', 'DELCONSUMER', log, group, consumer)
return {'ok', given}
"""
)

# base, group, limit
FAILURES: Final = Script(
    _PRELUDE
    + """
local group, found = ARGV[2], {}
if not known(group) then return {'nogroup'} end
local due = redis.call('ZRANGE', base .. 'due:' .. group, 0, -1, 'WITHSCORES')
for i = 1, #due, 2 do
  if #found >= tonumber(ARGV[3]) then break end
  if redis.call('SISMEMBER', base .. 'waiting:' .. group, due[i]) == 1 then
    local attempts = redis.call('XPENDING', log, group, due[i], due[i], 1)[1]
    local why = redis.call('HGET', base .. 'why:' .. group, due[i])
    if attempts then found[#found + 1] = {due[i], attempts[4], why, due[i + 1]} end
  end
end
return {'ok', found}
"""
)

# base, group, limit, after or ''
DEAD: Final = Script(
    _PRELUDE
    + """
if not known(ARGV[2]) then return {'nogroup'} end
local from = ARGV[4] == '' and '-' or '(' .. ARGV[4]
return {'ok', redis.call('XRANGE', base .. 'dead:' .. ARGV[2], from, '+', 'COUNT', ARGV[3])}
"""
)

# base, group, dead letter, 'redrive' or 'discard'
DIG: Final = Script(
    _PRELUDE
    + """
local group, id = ARGV[2], ARGV[3]
if not known(group) then return {'nogroup'} end
local found = redis.call('XRANGE', base .. 'dead:' .. group, id, id)[1]
if not found then return {'gone'} end
local letter, new = map(found[2]), ''
if ARGV[4] == 'redrive' then
  new = redis.call('XADD', log, '*', 'p', letter['p'], 'h', letter['h'], 'o', letter['o'], 'g', group)
  redis.call('HSET', base .. 'moved:' .. group, letter['o'], new)
end
redis.call('XDEL', base .. 'dead:' .. group, id)
redis.call('HDEL', base .. 'buried:' .. group, letter['o'])
return {'ok', new}
"""
)

# base, after or '', count
BROWSE: Final = Script(
    _PRELUDE
    + """
local trimmed = redis.call('GET', base .. 'trimmed')
if ARGV[2] ~= '' and trimmed and less(ARGV[2], trimmed) then return {'gone'} end
return {'ok', redis.call('XRANGE', log, ARGV[2] == '' and '-' or '(' .. ARGV[2], '+', 'COUNT', ARGV[3])}
"""
)

# base, id
STATUS: Final = Script(
    _PRELUDE
    + """
local id = ARGV[2]
if redis.call('EXISTS', log) == 0 then return {'unknown'} end
local function running(one, current)
  if less(one['last-delivered-id'], current) then return 'pending' end
  if not redis.call('XPENDING', log, one['name'], current, current, 1)[1] then return 'delivered' end
  return redis.call('HEXISTS', base .. 'why:' .. one['name'], current) == 1 and 'retrying' or 'pending'
end
local found, traces = entry(id), false
local origin, target = found and found['o'] or id, found and found['g']
local states = {}
for _, one in ipairs(groups()) do
  local group = one['name']
  if (not target or target == group) and less(redis.call('HGET', base .. 'groups', group) or '0-0', id) then
    local moved = redis.call('HGET', base .. 'moved:' .. group, origin)
    local buried = redis.call('HEXISTS', base .. 'buried:' .. group, origin) == 1
    traces = traces or moved or buried
    states[#states + 1] = group
    states[#states + 1] = buried and 'dead' or running(one, moved or id)
  end
end
if not found and not traces then
  local trimmed = redis.call('GET', base .. 'trimmed')
  return {trimmed and not less(trimmed, id) and 'gone' or 'unknown'}
end
return {'ok', states}
"""
)

# base
INFO: Final = Script(
    _PRELUDE
    + """
local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local found = {}
for _, one in ipairs(groups()) do
  local group = one['name']
  local lag = one['lag'] or #redis.call('XRANGE', log, '(' .. one['last-delivered-id'], '+')
  local waiting = redis.call('SCARD', base .. 'waiting:' .. group)
  found[#found + 1] = {group, lag, one['pending'] - waiting, waiting, redis.call('XLEN', base .. 'dead:' .. group)}
end
return {'ok', redis.call('XLEN', log), first and first[1] or '', last and last[1] or '', found}
"""
)
