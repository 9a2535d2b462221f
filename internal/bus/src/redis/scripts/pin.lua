-- Remembers for ever how far a name's chain of rotations has come: the law of `law/pins.rs`.
--
-- KEYS 1 the name's pin
-- ARGV 1 sequence (20 digits), 2 tip
-- Returns {'pinned'}, or {'known', sequence, tip}: the chain has come further, or gone another way.
local stored = redis.call('GET', KEYS[1])
if stored then
  local sequence, tip = string.match(stored, '^(%d+) (%w+)$')
  if ARGV[1] < sequence or (ARGV[1] == sequence and ARGV[2] ~= tip) then
    return { 'known', sequence, tip }
  end
  if ARGV[1] == sequence then
    return { 'pinned' }
  end
elseif not string.find(ARGV[1], '[1-9]') then
  return { 'pinned' }
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2])
return { 'pinned' }
