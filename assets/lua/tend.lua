-- Keeps parked entries out of a foreign XAUTOCLAIM (30 s idle), in bounded slices, puts back a due time
-- that is missing, and brings near one that is farther away than any may be: the clock was set back.
--
-- KEYS  1 stream   2 due set
-- ARGV  1 group   2 parking consumer   3 number of the stream in the due set   4 at most this many
--       5 first id to look at   6 the longest time in milliseconds that an entry is parked for
-- ANSWER {id to go on from or '', how many were renewed}

local group, parked, number, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local rows = redis.call('XPENDING', KEYS[1], group, ARGV[5], '+', limit, parked)
local ids, last = {}, ''

for _, row in ipairs(rows) do
    last = row[1]
    ids[#ids + 1] = row[1]
    local member = number .. ':' .. row[1]
    local due = redis.call('ZSCORE', KEYS[2], member)
    if not due or tonumber(due) > now + ARGV[6] then redis.call('ZADD', KEYS[2], now, member) end
end
local count = #ids
if count > 0 then
    ids[#ids + 1] = 'JUSTID'
    redis.call('XCLAIM', KEYS[1], group, parked, 0, unpack(ids))
end
if count < limit then last = '' end
return {last, count}
