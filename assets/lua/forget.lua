-- Takes down consumers that are gone for good: no heartbeat, and nothing pending. One that is there all the same is
-- made anew by its next read.
--
-- KEYS  1 workers by last beat   2 stream
-- ARGV  1 group   2.. consumers
-- ANSWER how many were taken down

local group, gone = ARGV[1], 0
for i = 2, #ARGV do
    local name = ARGV[i]
    local held = redis.call('XPENDING', KEYS[2], group, '-', '+', 1, name)
    if #held == 0 and not redis.call('ZSCORE', KEYS[1], name) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[2], group, name)
        gone = gone + 1
    end
end
return gone
