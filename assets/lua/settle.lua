-- Acknowledges entries that one worker owns, and deletes what no other group still needs.
--
-- KEYS  1 stream
-- ARGV  1 group   2 worker   3.. entry ids
-- ANSWER {1|0 for each id: 1 acknowledged, 0 not this worker's any more and left alone}

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
if #mine == 0 then return answer end

redis.call('XACK', KEYS[1], group, unpack(mine))

local others = {}
for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local info = {}
    for i = 1, #row, 2 do info[row[i]] = row[i + 1] end
    if info['name'] ~= group then others[#others + 1] = {info['name'], info['last-delivered-id']} end
end

local function parts(id)
    local ms, seq = string.match(id, '^(%d+)-(%d+)$')
    return tonumber(ms), tonumber(seq)
end

-- Another group still needs an entry that it has not been given, or has not acknowledged.
local function needed(id)
    local ms, seq = parts(id)
    for _, other in ipairs(others) do
        local last_ms, last_seq = parts(other[2])
        if ms > last_ms or (ms == last_ms and seq > last_seq) then return true end
        if #redis.call('XPENDING', KEYS[1], other[1], id, id, 1) == 1 then return true end
    end
    return false
end

if #others == 0 then
    redis.call('XDEL', KEYS[1], unpack(mine))
else
    for _, id in ipairs(mine) do
        if not needed(id) then redis.call('XDEL', KEYS[1], id) end
    end
end
return answer
