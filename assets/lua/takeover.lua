-- Takes entries from a consumer that is dead, or has been idle too long, and parks them, due at once.
-- Walks that consumer's own pending list only, and no more of it than it is told.
--
-- KEYS  1 stream   2 due set   3 workers by last beat
-- ARGV  1 group   2 consumer that lost them   3 parking consumer   4 number of the stream in the due set
--       5 least idle time in milliseconds   6 at most this many   7 first id to look at
--       8 a consumer that has beaten within so many milliseconds keeps everything
-- ANSWER {id to go on from or '', {{entry id, fields, how often it had been delivered}, ...}}
-- An entry whose payload is gone from the stream is acknowledged and leaves with empty fields.

local group, loser, parked, number = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local idle, limit = tonumber(ARGV[5]), tonumber(ARGV[6])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- What made it suspect may be a second old: it is asked again in the step that takes.
local beat = redis.call('ZSCORE', KEYS[3], loser)
if beat and now - tonumber(beat) < tonumber(ARGV[8]) then return {'', {}} end
local rows = redis.call('XPENDING', KEYS[1], group, ARGV[7], '+', limit, loser)
local taken, ids, due, last = {}, {}, {}, ''

for _, row in ipairs(rows) do
    last = row[1]
    if row[3] >= idle then
        local entry = redis.call('XRANGE', KEYS[1], row[1], row[1])
        if entry[1] then
            ids[#ids + 1] = row[1]
            due[#due + 1] = now
            due[#due + 1] = number .. ':' .. row[1]
            taken[#taken + 1] = {row[1], entry[1][2], row[4]}
        else
            redis.call('XACK', KEYS[1], group, row[1])
            taken[#taken + 1] = {row[1], {}, row[4]}
        end
    end
end
if #ids > 0 then
    redis.call('ZADD', KEYS[2], unpack(due))
    ids[#ids + 1] = 'JUSTID'
    redis.call('XCLAIM', KEYS[1], group, parked, 0, unpack(ids))
end
if #rows < limit then last = '' end
return {last, taken}
