-- One heartbeat of a worker, or of several of one process whose queues lie on one server: its card goes up, it learns
-- whether anything parked is due, and it stands for election as sweeper. The sweeper also learns who holds entries
-- without a fresh beat.
--
-- KEYS  for each worker: 1 card   2 workers by last beat   3 due set   4 due set of the stream with priority
--       5 pause flag   6 sweeper   7 since when the fleet is heard   8.. streams; as many for each
-- ARGV  1 how many workers; then for each: 1 worker   2 card text   3 seconds the card outlives its last beat   4 group
--       5 parking consumer   6 term of a sweeper in ms   7 silence in ms that makes a worker suspect
--       8 whether the worker is steady 0|1   9 longest gap between two beats of a steady fleet in ms
--       10 for how long it must have been heard in ms
-- ANSWER for each worker: {server time in ms, parked entries due now (at most 1000 of each set are counted), paused 0|1,
--         sweeper 0|1, parked entries, {{stream number from 1, consumer, ms since its last beat or -1}, ...} (at most 100)}

local count = tonumber(ARGV[1])
local width = #KEYS / count
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- The mark says since when the fleet is heard without a gap, whoever beats: workers that live for seconds only keep it
-- up one after the other. It does not outlive an outage, after which all but the first look silent.
local function leads(key, arg)
    local sweeper, mark, worker, term = KEYS[key + 6], KEYS[key + 7], ARGV[arg + 1], ARGV[arg + 6]
    local since = math.min(tonumber(redis.call('GET', mark) or now), now)
    if ARGV[arg + 8] == '1' then since = math.min(since, now - ARGV[arg + 10]) end
    redis.call('SET', mark, string.format('%d', since), 'PX', ARGV[arg + 9])
    local stands = now - since >= tonumber(ARGV[arg + 10])
    if stands and redis.call('SET', sweeper, worker, 'NX', 'PX', term) then return 1 end
    if stands and redis.call('GET', sweeper) == worker then
        redis.call('PEXPIRE', sweeper, term)
        return 1
    end
    return 0
end

local function suspects(key, arg)
    local worker, found = ARGV[arg + 1], {}
    for i = 8, width do
        -- The summary lists only consumers that hold something, however many exist.
        local summary = redis.pcall('XPENDING', KEYS[key + i], ARGV[arg + 4])
        if summary.err == nil and summary[4] then
            for _, row in ipairs(summary[4]) do
                if row[1] ~= ARGV[arg + 5] and row[1] ~= worker and #found < 100 then
                    local beat = redis.call('ZSCORE', KEYS[key + 2], row[1])
                    local silence = -1
                    if beat then silence = now - tonumber(beat) end
                    -- A clock that was set back makes nobody silent, and nobody heard for ever: it counts from here.
                    if silence < 0 and beat then
                        redis.call('ZADD', KEYS[key + 2], 'LT', now, row[1])
                        silence = 0
                    end
                    if not beat or silence >= tonumber(ARGV[arg + 7]) then
                        found[#found + 1] = {i - 7, row[1], silence}
                    end
                end
            end
        end
    end
    return found
end

local function beat(key, arg)
    redis.call('SET', KEYS[key + 1], ARGV[arg + 2], 'EX', ARGV[arg + 3])
    redis.call('ZADD', KEYS[key + 2], now, ARGV[arg + 1])
    local due = #redis.call('ZRANGEBYSCORE', KEYS[key + 3], '-inf', now, 'LIMIT', 0, 1000)
        + #redis.call('ZRANGEBYSCORE', KEYS[key + 4], '-inf', now, 'LIMIT', 0, 1000)
    local paused = redis.call('EXISTS', KEYS[key + 5])
    local leading = leads(key, arg)
    local found = {}
    if leading == 1 then found = suspects(key, arg) end
    local parked = redis.call('ZCARD', KEYS[key + 3]) + redis.call('ZCARD', KEYS[key + 4])
    return {now, due, paused, leading, parked, found}
end

local answers = {}
for nth = 0, count - 1 do
    answers[#answers + 1] = beat(nth * width, 1 + nth * 10)
end
return answers
