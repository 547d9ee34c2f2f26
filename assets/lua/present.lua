-- Tells which entries still stand for their jobs: there, carrying the job, and pending or not delivered yet.
-- One that was acknowledged and left lying (by a foreign worker, or for another group) stands for nothing.
--
-- KEYS  1 stream
-- ARGV  1 group   2 name of the field that holds the job's id   3.. pairs of entry id and job id
-- ANSWER {1|0 for each pair}

local last = nil
for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local info = {}
    for i = 1, #row, 2 do info[row[i]] = row[i + 1] end
    if info['name'] == ARGV[1] then last = info['last-delivered-id'] end
end
if not last then return redis.error_reply('NOGROUP no such group') end

local function parts(id)
    local ms, seq = string.match(id, '^(%d+)-(%d+)$')
    return tonumber(ms), tonumber(seq)
end

local function beyond_last(id)
    local ms, seq = parts(id)
    local last_ms, last_seq = parts(last)
    return ms > last_ms or (ms == last_ms and seq > last_seq)
end

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
        if beyond_last(id) or #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1) == 1 then stands = 1 end
    end
    answer[#answer + 1] = stands
end
return answer
