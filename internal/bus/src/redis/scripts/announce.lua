-- Decides whether a link may serve a tunnel: the law of `law/record.rs`, atomically in one slot.
--
-- KEYS 1 the tunnel's links, 2 its past, 3 the policies that its links name
-- ARGV 1 node, 2 link, 3 session, 4 generation presented (0: none), 5 mode (e or s), 6 version (20 digits),
--      7 whether the node only repeats what it has granted already (1), 8 the period of takeovers and 9 of late
--      operations in microseconds, 10 how far ahead a generation is believed, 11 how many takeovers a period may have,
--      12 how many sessions are remembered, 13 how long the keys live in milliseconds, 14 owner (its bytes),
--      15 policy (-: none), 16 the policy's text,
--      then of other nodes: a sign, + alive or - dead, and the node
-- Returns {'granted', generation, link field...} with the superseded links, {'replaced', generation}, {'contended'},
-- {'mode', generation}, {'taken', generation}, {'withdrawn'}, or {'who', node...}: tell me first whether these live.
local links, past, policies = KEYS[1], KEYS[2], KEYS[3]
local node, session, mode, version = ARGV[1], ARGV[3], ARGV[5], ARGV[6]
local field = node .. '/' .. ARGV[2]
local presented, again = tonumber(ARGV[4]), ARGV[7] == '1'
local owner, policy = ARGV[14], ARGV[15]
local period, late, ahead = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local lives = {}
for i = 17, #ARGV do
  lives[string.sub(ARGV[i], 2)] = string.sub(ARGV[i], 1, 1)
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Numbers are doubles here: exact up to 2^53, which microseconds since 1970 reach in the year 2255.
local function number(n)
  return string.format('%.0f', n)
end

local held, gone, unknown, asked = {}, {}, {}, {}
local flat = redis.call('HGETALL', links)
for i = 1, #flat, 2 do
  local generation, held_mode, held_session, held_policy, held_version =
    string.match(flat[i + 1], '^(%d+) (%a) (%x+) (%S+) (%d+)$')
  local holder = string.sub(flat[i], 1, 32)
  if holder ~= node and lives[holder] == '-' then
    gone[#gone + 1] = flat[i]
  else
    if holder ~= node and not lives[holder] and not asked[holder] then
      asked[holder] = true
      unknown[#unknown + 1] = holder
    end
    held[#held + 1] = {
      field = flat[i], generation = tonumber(generation), mode = held_mode,
      session = held_session, policy = held_policy, version = held_version,
    }
  end
end

local stored = redis.call('HMGET', past, 'highest', 'floor', 'known', 'withdrawn', 'takeovers', 'owner')
local highest, floor = tonumber(stored[1] or '0'), tonumber(stored[2] or '0')
local known, withdrawn, takeovers = {}, {}, {}
for name, generation in string.gmatch(stored[3] or '', '(%x+)=(%d+)') do
  known[#known + 1] = { session = name, generation = tonumber(generation) }
end
for holder, upto, at in string.gmatch(stored[4] or '', '(%S+)=(%d+)@(%d+)') do
  if now - tonumber(at) < late then
    if holder == field and upto >= version then
      return { 'withdrawn' }
    end
    withdrawn[#withdrawn + 1] = holder .. '=' .. upto .. '@' .. at
  end
end
for at in string.gmatch(stored[5] or '', '%d+') do
  if now - tonumber(at) < period then
    takeovers[#takeovers + 1] = at
  end
end
if #unknown > 0 then
  return { 'who', unpack(unknown) }
end

for _, link in ipairs(held) do
  if link.field == field and link.version > version then
    return { 'granted', number(link.generation) }
  end
end

-- While a link lives, the name is its owner's. Later nothing of that owner's past is held against another, nor for it.
local another = stored[6] and stored[6] ~= owner
if another then
  if #held > 0 then
    return { 'taken', number(math.max(highest, presented)) }
  end
  floor, known, takeovers = 0, {}, {}
end

-- The generation the claim is judged by: the session's own, else the one it presents, else a new one.
local own
for _, link in ipairs(held) do
  if link.session == session then
    own = math.max(own or 0, link.generation)
  end
end
for _, entry in ipairs(known) do
  if entry.session == session then
    own = entry.generation
  end
end
local claimed
if presented >= 1 and presented <= math.max(highest, now + ahead) then
  if not another or (again and presented > highest) then
    claimed = presented
  end
end
local generation = own or claimed
if again and claimed and own and claimed > own then
  -- Granted by a node that could not ask: its agent has been told.
  generation = claimed
end
if generation then
  local by = mode == 'e' and highest or floor
  if generation < by or (generation == by and not own) then
    return { 'replaced', number(by) }
  end
else
  generation = math.max(highest + 1, now)
end

local losers = {}
if mode == 's' then
  for _, link in ipairs(held) do
    if link.session ~= session and link.mode == 'e' then
      return { 'mode', number(math.max(highest, generation)) }
    end
  end
else
  for _, link in ipairs(held) do
    if link.session ~= session then
      losers[#losers + 1] = link.field
    end
  end
  if #losers > 0 then
    if #takeovers >= tonumber(ARGV[11]) then
      return { 'contended' }
    end
    takeovers[#takeovers + 1] = number(now)
  end
  floor = math.max(floor, generation)
end

highest = math.max(highest, generation)
local remembered = false
for _, entry in ipairs(known) do
  if entry.session == session then
    entry.generation = math.max(entry.generation, generation)
    remembered = true
  end
end
if not remembered then
  known[#known + 1] = { session = session, generation = generation }
  if #known > tonumber(ARGV[12]) then
    local oldest = 1
    for i, entry in ipairs(known) do
      if entry.generation < known[oldest].generation then
        oldest = i
      end
    end
    table.remove(known, oldest)
  end
end
for i, entry in ipairs(known) do
  known[i] = entry.session .. '=' .. number(entry.generation)
end

-- What may be refused for want of memory comes first, so that then nothing has changed.
local granted = again and ARGV[4] or number(generation)
redis.call('HSET', past, 'highest', number(highest), 'floor', number(floor),
  'known', table.concat(known, ' '), 'withdrawn', table.concat(withdrawn, ' '),
  'takeovers', table.concat(takeovers, ' '), 'owner', owner)
redis.call('HSET', links, field, granted .. ' ' .. mode .. ' ' .. session .. ' ' .. policy .. ' ' .. version)
if policy ~= '-' then
  redis.call('HSET', policies, policy, ARGV[16])
end
for _, loser in ipairs(losers) do
  redis.call('HDEL', links, loser)
end
for _, dead in ipairs(gone) do
  redis.call('HDEL', links, dead)
end
-- The text of a policy stays while a link names it.
local named = { [policy] = true }
for _, link in ipairs(held) do
  if link.field ~= field and (mode == 's' or link.session == session) then
    named[link.policy] = true
  end
end
for _, kept in ipairs(redis.call('HKEYS', policies)) do
  if not named[kept] then
    redis.call('HDEL', policies, kept)
  end
end
redis.call('PEXPIRE', links, ARGV[13])
redis.call('PEXPIRE', past, ARGV[13])
redis.call('PEXPIRE', policies, ARGV[13])
local reply = { 'granted', number(generation) }
for _, loser in ipairs(losers) do
  reply[#reply + 1] = loser
end
return reply
