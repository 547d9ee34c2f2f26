-- Moves an entry that one worker owns to the dead-letter stream and acknowledges it, in one step.
--
-- KEYS  1 stream   2 dead-letter stream
-- ARGV  1 group   2 worker   3 entry id   4 about how many dead letters are kept
--       5.. fields and values of the dead letter
-- ANSWER 1 buried, 0 not this worker's any more and left alone

local group, worker, id = ARGV[1], ARGV[2], ARGV[3]
if #redis.call('XPENDING', KEYS[1], group, id, id, 1, worker) == 0 then return 0 end
local letter = {}
for i = 5, #ARGV do letter[#letter + 1] = ARGV[i] end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', unpack(letter))
redis.call('XACK', KEYS[1], group, id)
local _, others = groups_of(KEYS[1], group)
if not is_needed(KEYS[1], others, id) then redis.call('XDEL', KEYS[1], id) end
return 1
