-- Correct the budget by what responses said, and take back unused grants.
--
-- KEYS  state, ahead, flight
-- ARGV  answered (1 or 0), refusals, their wait or -1, requests given back, tokens given back, time to live,
--       then for requests and for tokens: limit or -1, remaining or -1, reset or -1, base or '',
--       then worker, calls ended, answers in full, their mean latency, calls timed out, the deadline of a call or 0,
--       calls that found no provider, the wait it named or -1, the cause of a hold in words, seconds since the latest
--       answered call began or -1
-- Answers {seconds until calls may go out again}.
--
-- A header was written at some unknown time between the request's admission and its response. So the provider's level
-- is compared with our model at both times, and only the difference that neither explains is corrected.

local FIRST_BACKOFF_SECONDS = 1
local LONGEST_BACKOFF_SECONDS = 60
local MOST_BELIEVED = 2  -- consecutive refusals whose named wait is used as it is
local LONGEST_FIRST_DEBT_SECONDS = 5
local LASTING_SECONDS = 0.5
local LONGEST_HOLD_SECONDS = 900 -- no single job's wait may hold the model for a day
local FIRST_AWAY_SECONDS = 0.5
local LONGEST_AWAY_SECONDS = 15
local ON_ITS_WAY_SECONDS = 1     -- an answer so soon after a failure may have left before the provider did

local now = time_now()
local answered, refusals, refused_wait = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local away = tonumber(ARGV[21])
local state = load_state(KEYS[1])
local ahead = not_started(KEYS[2], now)
refill(state, now, ahead)

local function learn_limit(b, limit, remaining, reset)
  local rate = limit / 60
  if reset > LONGEST_MINUTE and remaining > 0 and remaining < limit then rate = (limit - remaining) / reset end
  local cap = reset >= 0 and math.max(1, math.min(limit, remaining + reset * rate)) or math.max(1, limit)
  local changed = state[b .. 'limit'] ~= limit or state.guessed
  if not state[b .. 'limit'] then
    open_bucket(state, b, limit, 0)
    state[b .. 'cap'] = cap
    state[b .. 'fresh'] = 1
  elseif not state[b .. 'seen'] then
    state[b .. 'cap'] = cap
  elseif changed then
    state[b .. 'cap'] = math.max(1, math.min(limit, state[b .. 'cap'] * limit / state[b .. 'limit']))
  end
  if cap >= state[b .. 'cap'] and remaining > 0 then
    state[b .. 'cap'] = cap
  elseif remaining > 0 then
    local passed = math.min(1, (now - (state[b .. 'seen'] or now)) / CAP_SECONDS)
    state[b .. 'cap'] = math.max(1, state[b .. 'cap'] + (cap - state[b .. 'cap']) * passed)
  end
  state[b .. 'seen'] = now
  state[b .. 'limit'], state[b .. 'rate'] = limit, rate
  return changed
end

-- The level of the provider's bucket: a reset also shows fractions and debts, which `remaining` does not.
local function level_of(b, remaining, reset)
  if reset < 0 then return remaining end
  local cap = state[b .. 'cap']
  local level = cap - reset * state[b .. 'rate']
  if remaining > 0 then return clamp(level, remaining, remaining + 0.999) end
  return clamp(level, -2 * cap, 0.999)
end

-- Requests in transit look like spare budget: only a surplus that lasts counts.
local function lasting(b, more)
  if not state[b .. 'more_since'] then
    state[b .. 'more_since'], state[b .. 'more'] = now, more
    return 0
  end
  state[b .. 'more'] = math.min(state[b .. 'more'], more)
  if now - state[b .. 'more_since'] < LASTING_SECONDS then return 0 end
  state[b .. 'more_since'] = nil
  return state[b .. 'more']
end

local function observe(b, limit, remaining, reset, base)
  if limit < 0 or remaining < 0 then return end
  local changed = learn_limit(b, limit, remaining, reset)
  local level = level_of(b, remaining, reset)
  local at_answer = level - (state[b .. 'level'] + ahead[b])
  local most = ceiling(state, b) - ahead[b]
  if state[b .. 'fresh'] then
    state[b .. 'fresh'] = nil
    state[b .. 'level'] = math.min(most, level - ahead[b])
    return
  end
  if not base then return end  -- granted before there was a bucket: nothing to compare with
  local correction, at_admission = at_answer, level - (base + state[b .. 'correction'])
  if at_admission * at_answer <= 0 then
    correction = 0
  elseif math.abs(at_admission) < math.abs(at_answer) then
    correction = at_admission
  end
  correction = math.min(most - state[b .. 'level'], correction)
  -- where calls are few, every header may be of a moment at which the latest call was under way
  if correction > 0 and now - (state.begun_at or 0) < LAG_SECONDS then
    correction = math.max(0, correction - (state[b .. 'begun'] or 0))
  end
  if correction > 0 then correction = lasting(b, correction) else state[b .. 'more_since'] = nil end
  state[b .. 'level'] = state[b .. 'level'] + correction
  state[b .. 'correction'] = state[b .. 'correction'] + correction
  if not changed then
    local span = state[b .. 'spent'] + SCALE_SECONDS * state[b .. 'rate']
    local scale = state[b .. 'scale'] * (1 - clamp(correction / span, -0.3, 0.3))
    state[b .. 'scale'] = clamp(scale, b == 'r_' and 1 or 0.1, 10)
  end
  state[b .. 'spent'] = 0
end

local function give_back(b, amount)
  own_charge(state, b, -amount)  -- the next reservation bounds it
  if state[b .. 'limit'] and amount > 0 then
    amount = amount * state[b .. 'scale']
    state[b .. 'level'] = math.min(state[b .. 'cap'], state[b .. 'level'] + amount)
    state[b .. 'spent'] = math.max(0, state[b .. 'spent'] - amount)
  end
end

give_back('r_', tonumber(ARGV[4]))
give_back('t_', tonumber(ARGV[5]))

local has_headers = tonumber(ARGV[7]) >= 0 or tonumber(ARGV[11]) >= 0
if has_headers and state.guessed then
  close_bucket(state, 'r_')
  state.guessed = nil
end
for i, b in ipairs({'r_', 't_'}) do
  local at = 3 + i * 4
  observe(b, tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]))
end

state.answers = (state.answers or 0) + answered
if refusals > 0 then
  state.refusals = (state.refusals or 0) + refusals
  -- refusals of concurrent calls count once, a refused probe counts again
  if not state.refused or state.probe_until then state.in_a_row = (state.in_a_row or 0) + 1 end
  local backoff = math.min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ^ (state.in_a_row - 1))
  if refused_wait < 0 then
    refused_wait = backoff
  elseif not has_headers and state.in_a_row > MOST_BELIEVED then
    -- the named wait was kept and was too short: it may leave out the refused call's own charge, and no header says so
    refused_wait = math.max(refused_wait, backoff) + backoff
  end
  if state.r_seen and not state.answered and tonumber(ARGV[9]) <= LONGEST_MINUTE then
    -- before there was an answer no header said how deep in debt the bucket is, by the refused call's own charge too
    refused_wait = refused_wait + math.min(1 / state.r_rate, LONGEST_FIRST_DEBT_SECONDS)
  end
  local longest = math.min(LONGEST_HOLD_SECONDS, LONGEST_BACKOFF_SECONDS * 2 ^ (state.in_a_row - 1))
  local is_first = not state.refused  -- later ones were sent before this was known, and a probe has no rate
  hold(state, now, REFUSED, math.min(refused_wait, longest), ARGV[23])
  if not has_headers and not state.t_limit and (state.guessed or not state.r_limit) then
    -- a server without headers: its limit is below the rate that it refused
    if state.guessed and is_first or not state.guessed and is_pace(state, now) then
      local granted = math.max(LOWEST_GUESS, pace(state, now))
      -- with a guess, the rate includes pauses: it may halve the guess, no more
      state.peak = state.guessed and math.max(state.peak / 2, math.min(2 * granted, state.r_rate)) or granted
    end
    if state.peak then
      state.cut_at = state.not_before
      local guess = guessed_rate(state, now)
      open_bucket(state, 'r_', guess * 60, 0)
      state.r_cap, state.guessed = math.max(1, guess), 1
    end
  end
elseif away > 0 then
  -- before answers: those of the same update came earlier or show up again
  if not state.refused or state.probe_until then state.in_a_row = (state.in_a_row or 0) + 1 end
  local backoff = math.min(LONGEST_AWAY_SECONDS, FIRST_AWAY_SECONDS * 2 ^ ((state.in_a_row or 1) - 1))
  hold(state, now, AWAY, math.max(backoff, math.min(tonumber(ARGV[22]), LONGEST_BACKOFF_SECONDS)), ARGV[23])
  state.away_at = now
elseif answered > 0 then
  state.answered, state.in_a_row = 1, 0
  -- a response to an earlier call says nothing about a limit, but it ends an outage
  if state.held == AWAY then
    local began_at = now - tonumber(ARGV[24])
    if began_at >= state.held_since or now - (state.away_at or 0) >= ON_ITS_WAY_SECONDS then
      release(state)
      state.not_before = nil
    end
  elseif state.refused and (state.probe_until or 0) > 0 then
    release(state)
  end
  if not state.refused then state.probe_until = nil end
elseif tonumber(ARGV[16]) > 0 and (not state.answered or state.held == AWAY) then
  state.probe_until = nil  -- the probe got no answer: send another one
end

local flight = end_flight(KEYS[3], ARGV[15], tonumber(ARGV[16]), now)
learn_flight(state, now, {
  flight = flight, answers = tonumber(ARGV[17]), latency = tonumber(ARGV[18]), timed_out = tonumber(ARGV[19]),
  deadline = tonumber(ARGV[20]),
})

save_state(KEYS[1], state, ARGV[6])
local pause = state.held == REFUSED and (state.not_before or 0) - now or 0
return {string.format('%.17g', math.max(0, pause))}
