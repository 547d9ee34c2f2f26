-- Takes up to N entries for one worker: what has priority first, of each kind first what is due again and
-- then what is new. Never blocks, never takes more than it is asked for.
--
-- KEYS  1 pause flag   2 due set   3 due set of the stream with priority   4.. streams, that one last
-- ARGV  1 group   2 worker   3 how many   4 name of the consumer that parked entries belong to
--       5 at most this many new entries (0: due entries only)
--       6 number of the stream without priority that is asked first: turns keep one from starving the other
-- ANSWER {paused 0|1, {{stream number from 1, entry id, fields, deliveries}, ...},
--         milliseconds until the next parked entry is due or -1, error text or ''}
-- A due entry whose payload is gone from the stream is acknowledged and leaves with empty fields.
-- A stream that cannot be read does not take away what was taken from the others: its error is told.

local group, worker, free, parked = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local new_limit, first = tonumber(ARGV[5]), tonumber(ARGV[6])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local taken, trouble = {}, ''

local function next_due()
    local soonest = -1
    for i = 2, 3 do
        local row = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
        if #row == 2 then
            local wait = math.max(0, math.ceil(row[2] - now))
            if soonest < 0 or wait < soonest then soonest = wait end
        end
    end
    return soonest
end

local function take_due(due)
    local room = free - #taken
    if room <= 0 then return end
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, room)) do
        local number, id = string.match(member, '^(%d+):(.+)$')
        local stream = KEYS[3 + tonumber(number)]
        redis.call('ZREM', due, member)
        local pending = redis.pcall('XPENDING', stream, group, id, id, 1, parked)
        if pending.err then
            trouble = pending.err
        elseif #pending == 1 then
            local entry = redis.call('XCLAIM', stream, group, worker, 0, id)
            local fields = {}
            if entry[1] then
                fields = entry[1][2]
            else
                redis.call('XACK', stream, group, id)
            end
            taken[#taken + 1] = {tonumber(number), id, fields, pending[1][4] + 1}
        end
    end
end

local function take_new(number)
    local room = math.min(free - #taken, new_limit)
    if room <= 0 then return end
    local answer = redis.pcall('XREADGROUP', 'GROUP', group, worker, 'COUNT', room, 'STREAMS', KEYS[3 + number], '>')
    if answer and answer.err then
        trouble = answer.err
    elseif answer then
        for _, entry in ipairs(answer[1][2]) do
            taken[#taken + 1] = {number, entry[1], entry[2], 1}
        end
    end
end

if redis.call('EXISTS', KEYS[1]) == 1 then return {1, taken, next_due(), ''} end

local priority = #KEYS - 3
take_due(KEYS[3])
take_new(priority)
take_due(KEYS[2])
local others = priority - 1
for turn = 0, others - 1 do
    take_new((first - 1 + turn) % others + 1)
end

return {0, taken, next_due(), trouble}
