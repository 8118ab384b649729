-- Reserve budget for the first waiters of one process.
--
-- KEYS  state, ahead, waiting, flight
-- ARGV  worker, ahead seconds, share held back for other queues, requests a minute or 0, tokens a minute or 0,
--       waiters of this process, their tokens, time to live in seconds, its calls in flight or -1, limits that a
--       person set (requests, tokens, calls in flight, or 0), then the tokens of each waiter who asks, in order
-- Answers {granted, wait, probing, evict, seconds per request, seconds per token, then for each grant: delay,
-- base of requests, base of tokens}; numbers as text. Probing: 1 while one call probes, 2 while the server is full,
-- 3 while nothing is known and calls start one by one, in ever shorter gaps.
-- Evict: 1 while waiters with a long estimated wait should leave. Base: the level right after the grant's own charge,
-- without the corrections so far, to compare with the headers of its response; empty without a bucket.

local UNKNOWN_PROBE_SECONDS = 5   -- nothing is known and no probe is answered: send another one
local CAREFUL_GAPS = {1, 0.7, 0.5, 0.4, 0.3, 0.3, 0.3}  -- a refusal comes within such a gap, and stops the next call
local REFUSED_PROBE_SECONDS = 0.5 -- refusals come at once; no answer yet means that it was accepted
local AWAY_PROBE_SECONDS = 30     -- after an outage only an answer shows that the provider is back
local FULL_WAIT_SECONDS = 0.5     -- the end of a call of another process is noticed only by asking
local WAITING_COUNTS_SECONDS = 10 -- what an older process says is of a dead one
local SLOT_SECONDS = 0.02
local LAST_SHARE_OF_MARGIN = 0.5  -- that is kept from the last waiters
local COSTS_AT = 13               -- where the waiters' tokens begin

local now = time_now()
local worker, held_back = ARGV[1], tonumber(ARGV[3])
-- a full bucket takes longer to reach than the most that may be spent at once, by the lag
local ahead_seconds = math.max(tonumber(ARGV[2]), LAG_SECONDS) + 0.001
local state = load_state(KEYS[1])
local ahead = not_started(KEYS[2], now)

for b, limit in pairs({r_ = tonumber(ARGV[4]), t_ = tonumber(ARGV[5])}) do
  -- a lost or new bucket starts empty
  if limit > 0 and not state[b .. 'limit'] then open_bucket(state, b, limit, 0) end
end
refill(state, now, ahead)
set_own(state, tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]), now)

local is_known = state.answered or state.r_limit or state.t_limit
local probing = not is_known or state.refused
local careful = not is_known and not state.refused
local most = probing and 1 or #ARGV - COSTS_AT + 1
local wait = 0

if (state.not_before or 0) > now then
  most, wait = 0, state.not_before - now
elseif probing and (state.probe_until or 0) > now then
  most, wait = 0, state.probe_until - now
elseif is_known and state.refused and (state.probe_until or 0) > 0 and state.held ~= AWAY then
  release(state)
  probing, most = false, #ARGV - COSTS_AT + 1
end

local own_flight = tonumber(ARGV[9])
local room = flight_room(state, KEYS[4], worker, own_flight, now)
local own = own_room(state, KEYS[4], worker, own_flight, now)
local least = math.min(room or math.huge, own or math.huge)
local full = least < most
if full then
  most = least
  if most == 0 then wait = math.max(wait, FULL_WAIT_SECONDS) end
end

-- The stock of other queues is lost when nobody is left to use the rate: the last waiters of all processes may take it,
-- and it is back within the time that they would have waited.
local function fits_in_stock()
  local count, tokens = tonumber(ARGV[6]), tonumber(ARGV[7])
  local flat = redis.call('HGETALL', KEYS[3])
  for i = 1, #flat, 2 do
    local others, their_tokens, said_at = string.match(flat[i + 1], '(%S+) (%S+) (%S+)')
    if flat[i] ~= worker and now - tonumber(said_at) < WAITING_COUNTS_SECONDS then
      count, tokens = count + tonumber(others), tokens + tonumber(their_tokens)
    end
  end
  local function fits(b, amount)
    return not state[b .. 'limit'] or amount <= held_back * state[b .. 'cap'] + (1 - LAST_SHARE_OF_MARGIN) * margin(state, b)
  end
  return fits('r_', count) and fits('t_', tokens)
end

local share_of_margin = 1
if held_back > 0 and fits_in_stock() then held_back, share_of_margin = 0, LAST_SHARE_OF_MARGIN end

local function delay_of(b, cost)
  if not state[b .. 'limit'] then return 0 end
  -- more than a full bucket is admitted from a full bucket
  local cap = state[b .. 'cap']
  -- a level above the ceiling is never reached, so a margin up there would be waited for each time
  local most = math.max(ceiling(state, b), cost + state[b .. 'rate'] * SLACK_SECONDS)
  local alone = math.min(cost + share_of_margin * margin(state, b), most)
  local need = math.min(alone + held_back * cap, cap) + slack(state, b, cost)
  return math.max(0, need - state[b .. 'level']) / state[b .. 'rate']
end

local function slack_seconds(b, cost)
  return state[b .. 'limit'] and slack(state, b, cost) / state[b .. 'rate'] or 0
end

local function charge(b, cost, delay)
  if not state[b .. 'limit'] then return '' end
  -- what a bucket would have gained while it was full is lost
  local lost = math.max(0, state[b .. 'level'] + delay * state[b .. 'rate'] - state[b .. 'cap'])
  state[b .. 'level'] = state[b .. 'level'] - cost - lost
  state[b .. 'spent'] = state[b .. 'spent'] + cost
  return string.format('%.17g', state[b .. 'level'] + delay * state[b .. 'rate'] - state[b .. 'correction'])
end

local grants, granted, granted_tokens, slots = {}, 0, 0, {}
for i = COSTS_AT, math.min(#ARGV, COSTS_AT - 1 + most) do
  local tokens = tonumber(ARGV[i])
  -- surely larger than the whole limit: the provider rejects it and charges nothing
  local fits = not state.t_limit or tokens <= 2 * state.t_limit
  local r_cost, t_cost = state.r_scale or 1, fits and tokens * (state.t_scale or 1) or 0
  -- a probe after a refusal is sent when the server's own wait is over, whatever our model says
  local delay = state.refused and 0 or math.max(
    delay_of('r_', r_cost), fits and delay_of('t_', t_cost) or 0, own_delay(state, 'r_', 1), own_delay(state, 't_', t_cost)
  )
  local furthest = ahead_seconds + math.max(slack_seconds('r_', r_cost), fits and slack_seconds('t_', t_cost) or 0)
  if delay > furthest then
    wait = delay - furthest
    break
  end
  own_charge(state, 'r_', 1)
  own_charge(state, 't_', t_cost)
  local r_base, t_base = charge('r_', r_cost, delay), charge('t_', t_cost, delay)
  for _, text in ipairs({string.format('%.17g', delay), r_base, t_base}) do grants[#grants + 1] = text end
  granted, granted_tokens = granted + 1, granted_tokens + tokens
  if delay == 0 then
    note_begun(state, now, r_cost, t_cost)
  else
    local slot = math.ceil((now + delay) / SLOT_SECONDS) * SLOT_SECONDS
    local last = slots[#slots]
    if last and last[1] >= slot then
      last[2], last[3] = last[2] + r_cost, last[3] + t_cost
    else
      slots[#slots + 1] = {slot, r_cost, t_cost}
    end
  end
end
for _, slot in ipairs(slots) do
  redis.call('RPUSH', KEYS[2], string.format('%.6f %.17g %.17g', slot[1], slot[2], slot[3]))
end
redis.call('EXPIRE', KEYS[2], 60)

if probing and granted > 0 then
  local patience = is_known and REFUSED_PROBE_SECONDS or UNKNOWN_PROBE_SECONDS
  if careful then
    state.careful = (state.careful or 0) + 1
    patience = CAREFUL_GAPS[state.careful] or UNKNOWN_PROBE_SECONDS
  end
  wait = (state.held == AWAY and AWAY_PROBE_SECONDS or patience) + tonumber(grants[1])
  state.probe_until = now + wait
end
if is_known then state.careful = nil end
count_grants(state, now, granted)
if granted > 0 then
  local mean = granted_tokens / granted
  state.mean_tokens = state.mean_tokens and state.mean_tokens * 0.9 + mean * 0.1 or mean
end
save_state(KEYS[1], state, ARGV[8])
count_flight(KEYS[4], worker, own_flight, granted, now)

local waiting, waiting_tokens = tonumber(ARGV[6]) - granted, tonumber(ARGV[7]) - granted_tokens
if waiting > 0 then
  redis.call('HSET', KEYS[3], worker, string.format('%d %d %.3f', waiting, waiting_tokens, now))
  redis.call('EXPIRE', KEYS[3], 60)
else
  redis.call('HDEL', KEYS[3], worker)
end

local function per_unit(b)
  local provider = state[b .. 'limit'] and state[b .. 'scale'] / state[b .. 'rate'] or 0
  return string.format('%.17g', math.max(provider, own_pace(state, b)))
end
local per_request = per_unit('r_')
if room and not state.r_limit then
  per_request = string.format('%.17g', math.max(seconds_per_call(state), own_pace(state, 'r_')))
end
return {
  granted, string.format('%.17g', wait), careful and 3 or probing and 1 or full and 2 or 0, (state.evict_until or 0) > now and 1 or 0,
  per_request, per_unit('t_'), unpack(grants)
}
