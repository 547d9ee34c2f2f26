-- Makes parked entries due now. Only what is still parked: one that a worker has taken meanwhile is on its way.
--
-- KEYS  1 stream   2 due set
-- ARGV  1 group   2 parking consumer   3 number of the stream in the due set   4.. entry ids
-- ANSWER {1|0 for each id: 1 due now, 0 not parked and left alone}

local group, parked, number = ARGV[1], ARGV[2], ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local answer = {}

for i = 4, #ARGV do
    local id = ARGV[i]
    if #redis.call('XPENDING', KEYS[1], group, id, id, 1, parked) == 1 then
        redis.call('ZADD', KEYS[2], now, number .. ':' .. id)
        answer[#answer + 1] = 1
    else
        answer[#answer + 1] = 0
    end
end
return answer
