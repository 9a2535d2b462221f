-- Removes a link's route, unless a later announcement of it stands, and remembers that against late ones. The text of
-- its policy goes with the last link that names it.
--
-- KEYS 1 the tunnel's links, 2 its past, 3 the policies that its links name
-- ARGV 1 field of the link, 2 version (20 digits), 3 the period of late operations in microseconds,
--      4 how many withdrawals are remembered, 5 how long the keys live in milliseconds
local links, past, policies = KEYS[1], KEYS[2], KEYS[3]
local field, version, late = ARGV[1], ARGV[2], tonumber(ARGV[3])
local held = redis.call('HGET', links, field)
if held and string.match(held, '(%d+)$') <= version then
  redis.call('HDEL', links, field)
  local policy = string.match(held, '(%S+) %d+$')
  local named = not policy or policy == '-'
  if not named then
    for _, other in ipairs(redis.call('HVALS', links)) do
      named = named or string.match(other, '(%S+) %d+$') == policy
    end
  end
  if not named then
    redis.call('HDEL', policies, policy)
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local withdrawn = {}
for holder, upto, at in string.gmatch(redis.call('HGET', past, 'withdrawn') or '', '(%S+)=(%d+)@(%d+)') do
  if now - tonumber(at) < late then
    withdrawn[#withdrawn + 1] = holder .. '=' .. upto .. '@' .. at
  end
end
withdrawn[#withdrawn + 1] = field .. '=' .. version .. '@' .. string.format('%.0f', now)
while #withdrawn > tonumber(ARGV[4]) do
  table.remove(withdrawn, 1)
end
-- Where memory is full the route is gone all the same; only the memory of it is not kept.
redis.pcall('HSET', past, 'withdrawn', table.concat(withdrawn, ' '))
redis.call('PEXPIRE', links, ARGV[5])
redis.call('PEXPIRE', past, ARGV[5])
redis.call('PEXPIRE', policies, ARGV[5])
return 1
