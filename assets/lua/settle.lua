-- Acknowledges entries that one worker owns, and deletes what no other group still needs.
--
-- KEYS  1 stream
-- ARGV  1 group   2 worker   3 the smallest and 4 the largest of the entry ids   5.. entry ids
-- ANSWER {1|0 for each id: 1 acknowledged, 0 not this worker's any more and left alone}

local group, worker = ARGV[1], ARGV[2]
local answer, mine, held = {}, {}, {}

-- One question for all of them: what a worker holds is bounded by its slots. What lies behind a full answer is asked
-- for by itself.
local most = 4 * #ARGV
local rows = redis.call('XPENDING', KEYS[1], group, ARGV[3], ARGV[4], most, worker)
for _, row in ipairs(rows) do held[row[1]] = true end

for i = 5, #ARGV do
    local id = ARGV[i]
    local is_mine = held[id]
    if not is_mine and #rows == most then
        is_mine = #redis.call('XPENDING', KEYS[1], group, id, id, 1, worker) == 1
    end
    if is_mine then
        mine[#mine + 1] = id
        answer[#answer + 1] = 1
    else
        answer[#answer + 1] = 0
    end
end
if #mine == 0 then return answer end

redis.call('XACK', KEYS[1], group, unpack(mine))

local _, others = groups_of(KEYS[1], group)
if #others == 0 then
    redis.call('XDEL', KEYS[1], unpack(mine))
else
    for _, id in ipairs(mine) do
        if not is_needed(KEYS[1], others, id) then redis.call('XDEL', KEYS[1], id) end
    end
end
return answer
