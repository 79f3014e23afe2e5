"""The counters' arithmetic in Lua, as the server runs it: `limits.py`'s, line by line; one suite compares the two.

KEYS: a counter for each limit, all of one subject. ARGV: the first is the script's own, then for each rule the number
of its key, kind, window, limit, own, tick, field and cost (`counted.Counted`). Every key has a time to live. A script
holds the algorithms that it is asked for and no others, as a server makes every function anew for every call.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gateway.store.client import Script

_BEGIN: Final = """
local time = redis.call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local function pair(level, since) return string.format('%.0f:%.0f', level, since) end
local function read(found)
  if not found then return nil end
  local level, since = string.match(found, '^(%d+):(%d+)$')
  return tonumber(level), tonumber(since)
end
"""

_BUCKET: Final = """
local function drained(level, since, now, limit)
  return level and max(0, level - max(0, now - since) * limit) or 0
end
"""
_FIXED: Final = """
local function number_at(tick, window, own) return floor((tick + own) / window) end
local function window_end(number, window, own) return (number + 1) * window - own end
"""
_MONTH: Final = """
local function number_at(tick, window)
  local day = floor(tick / window) + 719468
  local era = floor(day / 146097)
  day = day - era * 146097
  local year = floor((day - floor(day / 1460) + floor(day / 36524) - floor(day / 146096)) / 365)
  day = day - (365 * year + floor(year / 4) - floor(year / 100))
  return (era * 400 + year) * 12 + floor((5 * day + 2) / 153)
end
local function window_end(number, window)
  local year, month = floor((number + 1) / 12), (number + 1) % 12
  local era = floor(year / 400)
  year = year - era * 400
  local day = era * 146097 + 365 * year + floor(year / 4) - floor(year / 100) + floor((153 * month + 2) / 5) - 719468
  return day * window
end
"""

_TAKE_WINDOW: Final = """
function look.%s(found, now, window, limit, own, cost)
  local level, since = read(found)
  local number = number_at(now, window, own)
  if since == number + 1 then number = since end
  if since ~= number then level = 0 end
  local reset = window_end(number, window, own) - now
  local allowed = level + cost <= limit
  if allowed or forced then level = level + cost end
  return allowed, pair(level, number), max(0, limit - level), allowed and 0 or reset, reset
end
"""
_TAKES: Final = {
    "g": _BUCKET
    + """
function look.g(found, now, window, limit, own, cost)
  local level, since = read(found)
  local mend = level and since > now and pair(level, now)
  level = drained(level, since, now, limit)
  local poured, rate = level + cost * window, max(1, limit)
  local allowed, retry = limit > 0 and poured <= own, 0
  if allowed then level = poured
  elseif limit > 0 and cost * window <= own then retry = ceil((poured - own) / rate)
  else retry = window end
  if forced and not allowed then level = max(level, min(poured, 2 * own)) end
  return allowed, pair(level, now), floor(max(0, own - level) / window), retry, ceil(level / rate), mend
end
""",
    "f": _FIXED + _TAKE_WINDOW % "f",
    "m": _MONTH + _TAKE_WINDOW % "m",
    "s": """
local function remembered(found, now, window, own)
  local number, slots, states = floor(now / own), ceil(window / own), {}
  if found and found ~= '' then
    local newest = tonumber(string.match(found, ':(%d+)$'))
    if newest > number then
      if newest - number >= slots then return number, slots, states end
      number = newest
    end
    for level, since in string.gmatch(found, '(%d+):(%d+)') do
      since = tonumber(since)
      if since >= number - slots then states[#states + 1] = {tonumber(level), since} end
    end
  end
  return number, slots, states
end
local function written(states)
  local parts = {}
  for i, state in ipairs(states) do parts[i] = pair(state[1], state[2]) end
  return table.concat(parts, ' ')
end
function look.s(found, now, window, limit, own, cost)
  local number, slots, states = remembered(found, now, window, own)
  local total = 0
  for _, state in ipairs(states) do total = total + state[1] end
  local allowed, retry = total + cost <= limit, 0
  if not allowed then
    retry = window
    local over = total + cost - limit
    for _, state in ipairs(cost <= limit and states or {}) do
      over = over - state[1]
      if over <= 0 then retry = (state[2] + slots + 1) * own - now break end
    end
  end
  if cost > 0 and (allowed or forced) then
    total = total + cost
    local last = states[#states]
    if last and last[2] == number then last[1] = last[1] + cost
    else states[#states + 1] = {cost, number} end
  end
  local reset = #states > 0 and (states[#states][2] + slots + 1) * own - now or 0
  return allowed, written(states), max(0, limit - total), retry, reset
end
""",
}

_TAKE_ONE: Final = """
local found = redis.call('HGET', KEYS[1], ARGV[8])
local tick, cost = tonumber(ARGV[7]), tonumber(ARGV[9])
local allowed, state, remaining, retry, reset, mend = look[ARGV[3]](found, floor(micros / tick),
  tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), cost)
if allowed or forced then
  redis.call('HSET', KEYS[1], ARGV[8], state)
  local millis = ceil(reset * tick / 1000) + 1
  if redis.call('PTTL', KEYS[1]) < millis then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', millis)) end
elseif mend then redis.call('HSET', KEYS[1], ARGV[8], mend)
end
return {allowed and 1 or 0, 0, retry * tick, micros, remaining, reset * tick}
"""

_TAKE_ALL: Final = """
local function judged(i, found, cost)
  local tick = tonumber(ARGV[i + 5])
  local allowed, state, remaining, retry, reset, mend = look[ARGV[i + 1]](found, floor(micros / tick),
    tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), cost)
  return allowed, state, remaining, retry * tick, reset * tick, mend
end
local refused, chosen, longest, least, wait = false, 0, -1, nil, 0
local writes, mends, keep, passed, answer = {}, {}, {}, {}, {0, 0, 0, micros}
for i = 2, #ARGV, 8 do
  local key, field, rule = tonumber(ARGV[i]), ARGV[i + 6], (i - 2) / 8
  local found = redis.call('HGET', KEYS[key], field)
  local allowed, state, remaining, retry, reset, mend = judged(i, found, tonumber(ARGV[i + 7]))
  if allowed then passed[#passed + 1] = {i, found, #answer} end
  if not allowed then
    refused = true
    if retry > longest then longest, chosen, wait = retry, rule, retry end
  elseif not refused and (not least or remaining < least) then least, chosen = remaining, rule end
  local fields = writes[key] or {}
  fields[#fields + 1] = field
  fields[#fields + 1] = state
  writes[key], keep[key] = fields, max(keep[key] or 0, reset)
  if mend then mends[#mends + 1] = {KEYS[key], field, mend} end
  answer[#answer + 1] = remaining
  answer[#answer + 1] = reset
end
if not refused or forced then
  for key, fields in pairs(writes) do
    redis.call('HSET', KEYS[key], unpack(fields))
    local millis = ceil(keep[key] / 1000) + 1
    if redis.call('PTTL', KEYS[key]) < millis then redis.call('PEXPIRE', KEYS[key], string.format('%.0f', millis)) end
  end
else
  for _, mend in ipairs(mends) do redis.call('HSET', unpack(mend)) end
  for _, one in ipairs(passed) do
    local _, _, remaining, _, reset = judged(one[1], one[2], 0)
    answer[one[3] + 1], answer[one[3] + 2] = remaining, reset
  end
end
answer[1], answer[2], answer[3] = refused and 0 or 1, chosen, wait
return answer
"""


@lru_cache
def take_script(kinds: frozenset[str], one: bool) -> Script:
    """ARGV[1]: 1 counts what would be refused, too. `one`: there is one rule. Answers: admitted, the rule that is told,
    microseconds until it would admit, the time, then for each rule what remains and the microseconds until all of it
    does."""
    looks = "".join(f"do\n{_TAKES[kind]}end\n" for kind in sorted(kinds))
    return Script(_BEGIN + "local forced, look = ARGV[1] == '1', {}\n" + looks + (_TAKE_ONE if one else _TAKE_ALL))


_GIVE_WINDOW: Final = """
function given.%s(found, at, now, window, limit, own, cost)
  local level, since = read(found)
  local taken = number_at(at, window, own)
  if since == taken or (since == taken + 1 and number_at(now, window, own) == taken) then
    return pair(max(0, level - cost), since)
  end
end
"""
_GIVES: Final = {
    "g": _BUCKET
    + """
function given.g(found, at, now, window, limit, own, cost)
  local level, since = read(found)
  return pair(max(0, drained(level, since, now, limit) - cost * window), max(now, since))
end
""",
    "f": _FIXED + _GIVE_WINDOW % "f",
    "m": _MONTH + _GIVE_WINDOW % "m",
    "s": """
function given.s(found, at, now, window, limit, own, cost)
  local parts, slot, done = {}, floor(at / own), false
  for level, since in string.gmatch(found, '(%d+):(%d+)') do
    level, since = tonumber(level), tonumber(since)
    if not done and since >= slot then level, done = max(0, level - cost), true end
    parts[#parts + 1] = pair(level, since)
  end
  return table.concat(parts, ' ')
end
""",
}
_GIVE_ALL: Final = """
local taken_at = tonumber(ARGV[1])
for i = 2, #ARGV, 8 do
  local key, tick, field = KEYS[tonumber(ARGV[i])], tonumber(ARGV[i + 5]), ARGV[i + 6]
  local found = redis.call('HGET', key, field)
  local state = found and given[ARGV[i + 1]](found, floor(taken_at / tick), floor(micros / tick),
    tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 7]))
  if state then redis.call('HSET', key, field, state) end
end
return 1
"""


@lru_cache
def give_script(kinds: frozenset[str]) -> Script:
    """ARGV[1]: when it was taken, in microseconds since 1970."""
    gives = "".join(f"do\n{_GIVES[kind]}end\n" for kind in sorted(kinds))
    return Script(_BEGIN + "local given = {}\n" + gives + _GIVE_ALL)
