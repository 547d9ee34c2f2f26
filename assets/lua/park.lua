-- Moves entries that one worker owns to the parking consumer, due again at a time. They stay in the
-- pending list, as a failed entry of the reference does; only the owner and the due time change.
--
-- KEYS  1 stream   2 due set
-- ARGV  1 group   2 worker   3 parking consumer   4 number of the stream in the due set
--       5.. entry id, delivery and delay in milliseconds of each
-- ANSWER {1|0 for each: 1 parked, 0 not this worker's by this delivery any more and left alone}
-- The delivery is asked for, since a repeat after a lost reply may find the entry with the same worker again.

local group, worker, parked, number = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local answer = {}

for i = 5, #ARGV, 3 do
    local id, delivery, delay = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    local pending = redis.call('XPENDING', KEYS[1], group, id, id, 1, worker)[1]
    if pending and pending[4] == delivery then
        redis.call('XCLAIM', KEYS[1], group, parked, 0, id, 'JUSTID')
        redis.call('ZADD', KEYS[2], now + delay, number .. ':' .. id)
        answer[#answer + 1] = 1
    else
        answer[#answer + 1] = 0
    end
end
return answer
