-- Shared by the scripts that delete entries: whether another group still needs one.

local function id_parts(id)
    local ms, seq = string.match(id, '^(%d+)-(%d+)$')
    return tonumber(ms), tonumber(seq)
end

local function is_beyond(id, last)
    local ms, seq = id_parts(id)
    local last_ms, last_seq = id_parts(last)
    return ms > last_ms or (ms == last_ms and seq > last_seq)
end

-- The groups of a stream: what our own was given last (nothing if it is not there), and the others as
-- {name, what it was given last}.
local function groups_of(stream, group)
    local last, others = nil, {}
    for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
        local info = {}
        for i = 1, #row, 2 do info[row[i]] = row[i + 1] end
        if info['name'] == group then
            last = info['last-delivered-id']
        else
            others[#others + 1] = {info['name'], info['last-delivered-id']}
        end
    end
    return last, others
end

-- Another group needs an entry that it has not been given, or has not acknowledged.
local function is_needed(stream, others, id)
    for _, other in ipairs(others) do
        if is_beyond(id, other[2]) then return true end
        if #redis.call('XPENDING', stream, other[1], id, id, 1) == 1 then return true end
    end
    return false
end
