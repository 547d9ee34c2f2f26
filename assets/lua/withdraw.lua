-- Takes entries of jobs that an operator ended off a stream, whoever holds them.
--
-- KEYS  1 stream   2 due set
-- ARGV  1 group   2 number of the stream in the due set   3 name of the field that holds the job's id
--       4.. pairs of entry id and job id
-- ANSWER {1|0 for each pair: 1 withdrawn, 0 left alone (gone already, another job's, or seen by another group only)}
-- A pending one is acknowledged, and deleted if no other group needs it. One that was not delivered yet is
-- deleted only if no group at all was given it: it would be in the pending list of somebody.

local group, number, field = ARGV[1], ARGV[2], ARGV[3]
local ours, others = nil, {}
-- A stream that does not exist yet has no groups to ask for.
if redis.call('EXISTS', KEYS[1]) == 1 then ours, others = groups_of(KEYS[1], group) end

local function is_beyond_all(id)
    if ours and not is_beyond(id, ours) then return false end
    for _, other in ipairs(others) do
        if not is_beyond(id, other[2]) then return false end
    end
    return true
end

local function carries(fields, job)
    local found = false
    for i = 1, #fields, 2 do
        if fields[i] == field then found = fields[i + 1] == job end
    end
    return found
end

local answer = {}
for i = 4, #ARGV, 2 do
    local id, withdrawn = ARGV[i], 0
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry == nil or carries(entry[2], ARGV[i + 1]) then
        if ours and #redis.call('XPENDING', KEYS[1], group, id, id, 1) == 1 then
            redis.call('XACK', KEYS[1], group, id)
            redis.call('ZREM', KEYS[2], number .. ':' .. id)
            if entry and not is_needed(KEYS[1], others, id) then redis.call('XDEL', KEYS[1], id) end
            withdrawn = 1
        elseif entry and is_beyond_all(id) then
            redis.call('XDEL', KEYS[1], id)
            withdrawn = 1
        end
    end
    answer[#answer + 1] = withdrawn
end
return answer
