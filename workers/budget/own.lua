-- Limits that a person set for a model, beside the provider's: they hold whatever headers say. A bucket each, with a
-- second's worth in it, so that calls are spread; calls in flight are counted as in flight.lua. 0 is no limit.
--
--   or_limit, ot_limit  a minute    or_level, ot_level  what is left now    o_at  when it was computed    o_flight  calls

local OWN_SECONDS = 1

local function own_cap(state, b) return math.max(1, state['o' .. b .. 'limit'] / 60 * OWN_SECONDS) end

local function set_own(state, requests, tokens, flight, now)
  local passed = math.max(0, now - (state.o_at or now))
  for b, limit in pairs({r_ = requests, t_ = tokens}) do
    local name, level = 'o' .. b .. 'limit', 'o' .. b .. 'level'
    if limit > 0 then
      state[name] = limit
      state[level] = math.min(own_cap(state, b), (state[level] or own_cap(state, b)) + passed * limit / 60)
    else
      state[name], state[level] = nil, nil
    end
  end
  state.o_at, state.o_flight = now, flight > 0 and flight or nil
end

local function own_delay(state, b, cost)
  local limit = state['o' .. b .. 'limit']
  if not limit then return 0 end
  -- more than a full bucket is admitted from a full bucket
  return math.max(0, math.min(cost, own_cap(state, b)) - state['o' .. b .. 'level']) / (limit / 60)
end

local function own_charge(state, b, cost)
  local level = 'o' .. b .. 'level'
  if state[level] then state[level] = state[level] - cost end
end

local function own_room(state, key, worker, own_flight, now)
  if not state.o_flight or own_flight < 0 then return nil end
  local _own, others = flight_of(key, worker, now)
  return math.max(0, state.o_flight - own_flight - others)
end

-- Seconds between two units.
local function own_pace(state, b)
  local limit = state['o' .. b .. 'limit']
  return limit and 60 / limit or 0
end
