-- Reserve budget for the head of one process's line.
--
-- KEYS  state, ahead, waiting
-- ARGV  worker, ahead seconds, share held back for other queues, requests a minute or 0, tokens a minute or 0,
--       waiters in the line, their tokens, time to live, then the tokens of each waiter who asks, in order
-- Answers {granted, wait, probing, shed, seconds per request, seconds per token, then for each grant: delay,
-- base of requests, base of tokens}; numbers as text. A base is the level right after the grant's own charge, without
-- the corrections so far: what the header of its answer is compared with; it is empty where there is no bucket.

local UNKNOWN_PROBE_SECONDS = 5   -- nothing is known and the probe's answer does not come: another one may try
local REFUSED_PROBE_SECONDS = 0.5 -- refusals come at once: silence is good news
local SLOT_SECONDS = 0.02

local now = time_now()
local worker, held_back = ARGV[1], tonumber(ARGV[3])
-- a full bucket is further off than what may be spent at once, by the lag
local ahead_seconds = math.max(tonumber(ARGV[2]), LAG_SECONDS) + 0.001
local state = load_state(KEYS[1])
local ahead = pending(KEYS[2], now)

for b, limit in pairs({r_ = tonumber(ARGV[4]), t_ = tonumber(ARGV[5])}) do
  -- a bucket that is lost or new is an empty one
  if limit > 0 and not state[b .. 'limit'] then open_bucket(state, b, limit, 0) end
end
refill(state, now, ahead)

local is_known = state.answered or state.r_limit or state.t_limit
local probing = not is_known or state.refused
local most = probing and 1 or #ARGV - 8
local wait = 0

if (state.not_before or 0) > now then
  most, wait = 0, state.not_before - now
elseif probing and (state.probe_until or 0) > now then
  most, wait = 0, state.probe_until - now
elseif is_known and state.refused and (state.probe_until or 0) > 0 then
  state.refused, state.probe_until, probing, most = nil, nil, false, #ARGV - 8
end

local function delay_of(b, cost)
  if not state[b .. 'limit'] then return 0 end
  -- more than a full bucket is admitted from a full bucket
  local cap = state[b .. 'cap']
  local need = math.min(cost + margin(state, b) + held_back * cap, cap)
  return math.max(0, need - state[b .. 'level']) / state[b .. 'rate']
end

local function charge(b, cost, delay)
  if not state[b .. 'limit'] then return '' end
  state[b .. 'level'] = state[b .. 'level'] - cost
  state[b .. 'spent'] = state[b .. 'spent'] + cost
  return string.format('%.17g', state[b .. 'level'] + delay * state[b .. 'rate'] - state[b .. 'correction'])
end

local grants, granted, granted_tokens, slots = {}, 0, 0, {}
for i = 9, math.min(#ARGV, 8 + most) do
  local tokens = tonumber(ARGV[i])
  -- surely larger than the whole limit: the provider says so, and takes nothing for it
  local fits = not state.t_limit or tokens <= 2 * state.t_limit
  local r_cost, t_cost = state.r_scale or 1, fits and tokens * (state.t_scale or 1) or 0
  local delay = math.max(delay_of('r_', r_cost), fits and delay_of('t_', t_cost) or 0)
  if delay > ahead_seconds then
    wait = delay - ahead_seconds
    break
  end
  local r_base, t_base = charge('r_', r_cost, delay), charge('t_', t_cost, delay)
  for _, text in ipairs({string.format('%.17g', delay), r_base, t_base}) do grants[#grants + 1] = text end
  granted, granted_tokens = granted + 1, granted_tokens + tokens
  if delay > 0 then
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
  wait = (is_known and REFUSED_PROBE_SECONDS or UNKNOWN_PROBE_SECONDS) + tonumber(grants[1])
  state.probe_until = now + wait
end
count_grants(state, now, granted)
if granted > 0 then
  local mean = granted_tokens / granted
  state.mean_tokens = state.mean_tokens and state.mean_tokens * 0.9 + mean * 0.1 or mean
end
save_state(KEYS[1], state, ARGV[8])

local waiting, waiting_tokens = tonumber(ARGV[6]) - granted, tonumber(ARGV[7]) - granted_tokens
if waiting > 0 then
  redis.call('HSET', KEYS[3], worker, string.format('%d %d %.3f', waiting, waiting_tokens, now))
  redis.call('EXPIRE', KEYS[3], 60)
else
  redis.call('HDEL', KEYS[3], worker)
end

local function per_unit(b)
  return string.format('%.17g', state[b .. 'limit'] and state[b .. 'scale'] / state[b .. 'rate'] or 0)
end
return {
  granted, string.format('%.17g', wait), probing and 1 or 0, (state.shed_until or 0) > now and 1 or 0,
  per_unit('r_'), per_unit('t_'), unpack(grants)
}
