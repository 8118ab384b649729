-- A concurrency limit for servers that name no rate limit: calls in flight, of all processes together. Such a server may
-- have four slots or thousands; both accept every call and queue it. The limit follows latency: it grows while responses
-- are fast, shrinks when they come close to their deadline, and is halved when calls time out.
-- Loaded between bucket.lua and the script that uses it. One hash per model: worker -> "calls, time written".
--
--   c_limit   calls that may be in flight
--   c_mean    latency now                           c_base    latency when nothing was queued
--   c_proven  calls that the server was seen to process at once: c_limit never falls below it
--   c_window, c_answers  start of the measurement of c_proven, and responses in it
--   c_cut_at  no further cut before: calls sent before the last cut are still in flight
--
-- Calls may queue at the server as long as they end well before their deadline; later ones are lost.

local FLIGHT_COUNTS_SECONDS = 30   -- a count that is older belongs to a dead process
local FEWEST_FIRST, MOST_FIRST = 8, 200
local FIRST_SHARE = 0.5            -- of the calls that one slot could end before their deadline at the first latency
local BUSY_SHARE = 0.7             -- of the limit: with fewer in flight, a fast response does not show room for more
local EARLY_SHARE = 0.25           -- of the deadline: responses so early leave room for more
local LATE_SHARE = 0.5             -- of the deadline: responses so late are close to being lost
local OWN_SHARE = 0.1              -- of the flight
local STEADY, SLOWER = 1.25, 2     -- times the base: responses that were not queued, and those that surely were
local MEAN_OF_ANSWERS = 10
local FORGET_BASE_SECONDS = 3600
local FORGET_PROVEN = 0.02         -- share lost with each window

local function names_limits(state) return state.r_seen or state.t_seen end

local function flight_of(key, worker, now)
  local flat, own, others = redis.call('HGETALL', key), 0, 0
  for i = 1, #flat, 2 do
    local count, said_at = string.match(flat[i + 1], '(%S+) (%S+)')
    if flat[i] == worker then
      own = tonumber(count)
    elseif now - tonumber(said_at) < FLIGHT_COUNTS_SECONDS then
      others = others + math.max(0, tonumber(count))
    end
  end
  return own, others
end

local function write_flight(key, worker, count, now)
  if count > 0 then
    redis.call('HSET', key, worker, string.format('%d %.3f', count, now))
    redis.call('EXPIRE', key, 3600)
  else
    redis.call('HDEL', key, worker)
  end
end

-- Calls that may be sent now; nil if not bounded.
local function flight_room(state, key, worker, own_flight, now)
  if own_flight < 0 or not state.c_limit or names_limits(state) then return nil end
  local _own, others = flight_of(key, worker, now)
  return math.max(0, math.floor(state.c_limit + 0.001) - own_flight - others)
end

-- A process reports its own calls with each reservation; in between they are counted down as they end.
local function count_flight(key, worker, own_flight, granted, now)
  if own_flight >= 0 then write_flight(key, worker, own_flight + granted, now) end
end

local function end_flight(key, worker, ended, now)
  if worker == '' then return 0 end
  local own, others = flight_of(key, worker, now)
  if ended > 0 then write_flight(key, worker, own - ended, now) end
  return own + others
end

local function seconds_per_call(state) return state.c_mean / math.max(1, state.c_limit) end

local function prove(state, now, answers)
  state.c_window, state.c_answers = state.c_window or now, (state.c_answers or 0) + answers
  local passed = now - state.c_window
  if passed < state.c_base then return end
  local shown = state.c_answers * state.c_base / passed
  state.c_proven = math.max(shown, (state.c_proven or 1) * (1 - FORGET_PROVEN))
  state.c_window, state.c_answers = now, 0
end

local function follow_latency(state, now, latency, count)
  state.c_mean = state.c_mean + (latency - state.c_mean) * (1 - (1 - 1 / MEAN_OF_ANSWERS) ^ count)
  local forgotten = 1 + math.max(0, now - state.c_at) / FORGET_BASE_SECONDS
  state.c_base, state.c_at = math.min(state.c_mean, state.c_base * forgotten), now
end

local function grow_or_shrink(state, seen)
  local floor = state.c_proven or 1
  if state.c_mean > LATE_SHARE * seen.deadline and state.c_mean > SLOWER * state.c_base then
    state.c_limit = math.max(floor, state.c_limit - 0.3 * seen.answers)
  elseif seen.flight >= BUSY_SHARE * state.c_limit then
    local latency = math.max(state.c_mean, seen.latency)  -- the mean notices a queue late
    local expected = state.c_limit * state.c_base / floor  -- expected latency of the last of so many calls
    if latency <= STEADY * state.c_base and latency <= LATE_SHARE * seen.deadline then
      state.c_limit = state.c_limit + 3 * seen.answers
    elseif math.max(latency, expected) <= EARLY_SHARE * seen.deadline then
      state.c_limit = state.c_limit + seen.answers
    end
  end
end

local function cut(state, now, seen)
  if now < (state.c_cut_at or 0) then return end
  -- one hanging call while the others are fast is no sign of a queue
  local is_own = state.c_limit and state.c_mean <= EARLY_SHARE * seen.deadline
  if is_own and seen.timed_out < OWN_SHARE * seen.flight then return end
  local sent = state.c_limit and math.min(state.c_limit, seen.flight) or seen.flight
  state.c_limit = math.max(1, state.c_proven or 1, sent / 2)
  state.c_mean = math.max(state.c_mean or 0, seen.deadline)
  state.c_base, state.c_at = state.c_base or seen.deadline, state.c_at or now
  state.c_cut_at = now + seen.deadline
end

-- `seen` describes the calls that ended together: calls in flight before, responses and their mean latency, calls that
-- timed out, and the deadline of a call.
local function learn_flight(state, now, seen)
  if seen.deadline <= 0 then return end
  if names_limits(state) then
    state.c_limit = nil
    return
  end
  if seen.answers > 0 then
    if not state.c_limit then
      local first = FIRST_SHARE * seen.deadline / math.max(seen.latency, 0.001)
      state.c_limit = clamp(first, FEWEST_FIRST, MOST_FIRST)
      state.c_mean, state.c_base, state.c_at = seen.latency, seen.latency, now
    else
      follow_latency(state, now, seen.latency, seen.answers)
      grow_or_shrink(state, seen)
    end
    prove(state, now, seen.answers)
  end
  if seen.timed_out > 0 then cut(state, now, seen) end
end
