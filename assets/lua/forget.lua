-- Takes down consumers of ours that are gone for good: no heartbeat, and nothing pending. Who left with entries in its
-- hands is one once these are taken over, and who died before it was heard again after a loss of all data.
-- One that is there all the same is made anew by its next read.
--
-- KEYS  1 workers by last beat   2.. streams
-- ARGV  1 group   2 at most this many on each stream
-- ANSWER how many were taken down

local group, limit = ARGV[1], tonumber(ARGV[2])
local gone = 0

for i = 2, #KEYS do
    local consumers, left = redis.pcall('XINFO', 'CONSUMERS', KEYS[i], group), limit
    -- A stream or a group that is not there has none.
    if consumers.err then consumers = {} end
    for _, row in ipairs(consumers) do
        local info = {}
        for j = 1, #row, 2 do info[row[j]] = row[j + 1] end
        local name = info['name']
        local ours = #name == 18 and string.match(name, '^w%-%x+$')
        if left > 0 and ours and info['pending'] == 0 and not redis.call('ZSCORE', KEYS[1], name) then
            redis.call('XGROUP', 'DELCONSUMER', KEYS[i], group, name)
            left = left - 1
            gone = gone + 1
        end
    end
end
return gone
