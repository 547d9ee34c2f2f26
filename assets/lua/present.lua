-- Tells which entries still stand for their jobs: there, carrying the job, and pending or not delivered yet.
-- One that was acknowledged and left lying (by a foreign worker, or for another group) stands for nothing.
--
-- KEYS  1 stream
-- ARGV  1 group   2 name of the field that holds the job's id   3.. pairs of entry id and job id
-- ANSWER {1|0 for each pair}

local last = groups_of(KEYS[1], ARGV[1])
if not last then return redis.error_reply('NOGROUP no such group') end

local function carries(fields, job)
    local found = false
    for i = 1, #fields, 2 do
        if fields[i] == ARGV[2] then found = fields[i + 1] == job end
    end
    return found
end

local answer = {}
for i = 3, #ARGV, 2 do
    local id, stands = ARGV[i], 0
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry and carries(entry[2], ARGV[i + 1]) then
        if is_beyond(id, last) or #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1) == 1 then stands = 1 end
    end
    answer[#answer + 1] = stands
end
return answer
