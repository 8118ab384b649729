-- Shared by reserve.lua and settle.lua; loaded before each of them. One hash per (account, model).
--
-- Two buckets, requests (r_) and tokens (t_), each modelling the provider's own:
--   limit     per minute, from settings or headers      rate    units per second
--   cap       the most that it holds (a slice)          level   what it holds, grants that have not started yet deducted
--   scale     provider's units per unit that we estimate; other traffic on the quota and wrong estimates end up here
--   correction  sum of all corrections by headers       spent   what we charged since the last header
--   begun   what the latest call took that has started, at begun_at: a header may not know of it yet
-- Time is the server's alone. Levels fall below zero, and recover at the rate.
--
-- A hold stops all calls but one probe at a time: held is 1 after a refusal, 2 while the provider does not answer;
-- held_since and cause are for people. All fields are numbers but for the cause.

local SCALE_SECONDS = 3        -- time in which the scale follows a lasting discrepancy
local CAP_SECONDS = 10         -- time in which the capacity follows a slice that became shorter
local FORGET_SECONDS = 60      -- time in which a scale without observations returns to 1
local LONGEST_MINUTE = 61      -- a reset beyond it belongs to a limit per hour or day
local MARGIN_SECONDS = 0.5     -- requests may arrive closer together than they were sent
local MARGIN_OF_CAP = 0.25
local SLACK_SECONDS = 0.1
local LAG_SECONDS = 0.5        -- between a grant and its arrival: what a full bucket cannot gain meanwhile is lost
local LAG_OF_CAP = 0.5
local GUESS_CUT = 0.4          -- of the refused rate, where only refusals show the limit
local GUESS_SECONDS = 8        -- until a guess is back at that rate
local LOWEST_GUESS = 0.1       -- a second
local PACE_SECONDS = 5         -- slots in which grants are counted for that guess
local FEWEST_OF_A_PACE = 5     -- with fewer grants in two slots, a refusal is not about the rate
local REFUSED, AWAY = 1, 2     -- what a model is held for

local function time_now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function load_state(key)
  local flat, state = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do state[flat[i]] = tonumber(flat[i + 1]) or flat[i + 1] end
  -- a guess written by another version of this program
  if state.guessed and not (state.peak and state.cut_at) then state.peak, state.cut_at = state.r_rate, 0 end
  return state
end

local function save_state(key, state, ttl_seconds)
  local flat = {}
  for field, value in pairs(state) do
    flat[#flat + 1] = field
    flat[#flat + 1] = type(value) == 'number' and string.format('%.17g', value) or value
  end
  redis.call('DEL', key)  -- cleared fields must not remain
  redis.call('HSET', key, unpack(flat))
  redis.call('EXPIRE', key, ttl_seconds)
end

local function clamp(value, low, high) return math.max(low, math.min(high, value)) end

local function open_bucket(state, b, limit, level)
  state[b .. 'limit'] = limit
  state[b .. 'rate'] = limit / 60
  state[b .. 'cap'] = math.max(1, limit)
  state[b .. 'level'] = level
  state[b .. 'scale'] = 1
  state[b .. 'correction'] = state[b .. 'correction'] or 0
  state[b .. 'spent'] = 0
end

local function close_bucket(state, b)
  for _, field in ipairs({'limit', 'rate', 'cap', 'level', 'scale', 'spent'}) do
    state[b .. field] = nil
  end
end

-- Grants that have not started: {start, requests, tokens} in slots of a few milliseconds, in order of start.
local function not_started(ahead_key, now)
  local requests, tokens, begun = 0, 0, nil
  for _, entry in ipairs(redis.call('LRANGE', ahead_key, 0, -1)) do
    local start, r, t = string.match(entry, '(%S+) (%S+) (%S+)')
    if tonumber(start) <= now then
      begun = {at = tonumber(start), r_ = tonumber(r), t_ = tonumber(t)}
      redis.call('LREM', ahead_key, 1, entry)  -- a correction upwards lets later grants start before earlier ones
    else
      requests, tokens = requests + tonumber(r), tokens + tonumber(t)
    end
  end
  return {r_ = requests, t_ = tokens, begun = begun}
end

-- The most that may be spent at once.
local function ceiling(state, b)
  return state[b .. 'cap'] - math.min(state[b .. 'rate'] * LAG_SECONDS, (state[b .. 'cap'] - 1) * LAG_OF_CAP)
end

-- Cubic, as in TCP CUBIC: fast up to the refused rate, slowly past it, then faster again.
local function guessed_rate(state, now)
  local x = math.max(0, now - state.cut_at) / GUESS_SECONDS - 1
  return math.max(LOWEST_GUESS, state.peak * (1 + GUESS_CUT * x ^ 3))
end

local function note_begun(state, at, requests, tokens)
  state.begun_at, state.r_begun, state.t_begun = at, requests, tokens
end

local function refill(state, now, ahead)
  local passed = math.max(0, now - (state.at or now))
  if ahead.begun then note_begun(state, ahead.begun.at, ahead.begun.r_, ahead.begun.t_) end
  for _, b in ipairs({'r_', 't_'}) do
    if state[b .. 'limit'] then
      state[b .. 'level'] = math.min(ceiling(state, b) - ahead[b], state[b .. 'level'] + passed * state[b .. 'rate'])
      if not state.guessed then
        local scale = state[b .. 'scale']
        state[b .. 'scale'] = scale + (1 - scale) * math.min(1, passed / FORGET_SECONDS)
      end
    end
  end
  if state.guessed then
    local rate = math.min(2 * state.r_rate, guessed_rate(state, now))
    state.r_rate, state.r_limit, state.r_cap = rate, rate * 60, math.max(1, rate)
  end
  state.at = now
end

local function margin(state, b)
  return math.min(state[b .. 'rate'] * MARGIN_SECONDS, state[b .. 'cap'] * MARGIN_OF_CAP)
end

-- A bucket that holds hardly more than one call has no room for a margin: the call waits a moment longer than until it
-- is full.
local function slack(state, b, cost)
  local most = state[b .. 'rate'] * SLACK_SECONDS
  return clamp(cost + most - state[b .. 'cap'], 0, most)
end

-- Grants per second, over the current slot of PACE_SECONDS and the one before.
local function count_grants(state, now, count)
  local slot = math.floor(now / PACE_SECONDS)
  if state.slot ~= slot then
    state.slot_before = state.slot == slot - 1 and state.slot_count or 0
    state.slot, state.slot_count = slot, 0
  end
  state.slot_count = state.slot_count + count
  local minute = math.floor(now / 60)
  if state.minute ~= minute then
    state.minute_before = state.minute == minute - 1 and state.minute_count or 0
    state.minute, state.minute_count = minute, 0
  end
  state.minute_count = state.minute_count + count
end

local function pace(state, now)
  local into_slot = now - (state.slot or 0) * PACE_SECONDS
  if into_slot > PACE_SECONDS then return 0 end
  return (state.slot_count + state.slot_before) / (PACE_SECONDS + into_slot)
end

local function is_pace(state, now)
  local into_slot = now - (state.slot or 0) * PACE_SECONDS
  return into_slot <= PACE_SECONDS and state.slot_count + state.slot_before >= FEWEST_OF_A_PACE
end

local function hold(state, now, kind, seconds, cause)
  if state.held ~= kind then state.held, state.held_since = kind, now end
  if cause ~= '' then state.cause = cause end
  state.not_before = math.max(state.not_before or 0, now + seconds)
  state.refused, state.probe_until = 1, nil
end

local function release(state)
  state.refused, state.probe_until, state.held, state.held_since, state.cause = nil, nil, nil, nil, nil
end
