-- A worker leaves: its card comes down, and its consumer goes only if nothing is pending there
-- (deleting a consumer silently drops what it still holds). One that holds something stays among the workers as one
-- that has been silent for a minute: the sweeper takes the rest from it, and takes its consumer down after that.
--
-- KEYS  1 card   2 workers by last beat   3 sweeper   4.. streams
-- ARGV  1 group   2 worker
-- ANSWER on how many streams entries are still pending for the worker

local group, worker = ARGV[1], ARGV[2]
redis.call('DEL', KEYS[1])
if redis.call('GET', KEYS[3]) == worker then redis.call('DEL', KEYS[3]) end
local left = 0
for i = 4, #KEYS do
    local pending = redis.pcall('XPENDING', KEYS[i], group, '-', '+', 1, worker)
    if pending.err then
        -- A stream or a group that is not there holds nothing, and the others are looked at all the same.
    elseif #pending == 0 then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[i], group, worker)
    else
        left = left + 1
    end
end
if left == 0 then
    redis.call('ZREM', KEYS[2], worker)
else
    local clock = redis.call('TIME')
    redis.call('ZADD', KEYS[2], 'XX', 'LT', clock[1] * 1000 + math.floor(clock[2] / 1000) - 60000, worker)
end
return left
