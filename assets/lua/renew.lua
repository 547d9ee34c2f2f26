-- Renews the leases of one worker: asks "is it still mine?" and resets the idle clock in one step.
--
-- KEYS  1 stream
-- ARGV  1 group   2 worker   3.. entry ids
-- ANSWER {1|0 for each id: 1 renewed, 0 lost to another consumer or settled}

local group, worker = ARGV[1], ARGV[2]
local answer, mine = {}, {}

for i = 3, #ARGV do
    local id = ARGV[i]
    if #redis.call('XPENDING', KEYS[1], group, id, id, 1, worker) == 1 then
        mine[#mine + 1] = id
        answer[#answer + 1] = 1
    else
        answer[#answer + 1] = 0
    end
end
if #mine > 0 then
    mine[#mine + 1] = 'JUSTID'
    redis.call('XCLAIM', KEYS[1], group, worker, 0, unpack(mine))
end
return answer
