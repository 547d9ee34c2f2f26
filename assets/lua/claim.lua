-- Takes an entry from the consumer that was seen holding it and parks it, due at once on anybody. An operator
-- asked for it, so neither idle time nor heartbeat counts.
--
-- KEYS  1 stream   2 due set
-- ARGV  1 group   2 consumer that was seen   3 parking consumer   4 number of the stream in the due set
--       5 entry id
-- ANSWER 1 taken, 0 another consumer's by now and left alone, 2 acknowledged since its payload is gone

local group, loser, parked, number, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if #redis.call('XPENDING', KEYS[1], group, id, id, 1, loser) == 0 then return 0 end
if #redis.call('XRANGE', KEYS[1], id, id) == 0 then
    redis.call('XACK', KEYS[1], group, id)
    return 2
end
redis.call('XCLAIM', KEYS[1], group, parked, 0, id, 'JUSTID')
redis.call('ZADD', KEYS[2], now, number .. ':' .. id)
return 1
