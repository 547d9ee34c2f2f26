-- One heartbeat of a worker: its card goes up, it learns whether anything parked is due, and it
-- stands for election as sweeper. The sweeper also learns who holds entries without a fresh beat.
--
-- KEYS  1 card   2 workers by last beat   3 due set   4 due set of the stream with priority   5 pause flag
--       6 sweeper   7 since when the fleet is heard   8.. streams
-- ARGV  1 worker   2 card text   3 seconds the card outlives its last beat   4 group
--       5 parking consumer   6 term of a sweeper in ms   7 silence in ms that makes a worker suspect
--       8 whether the worker is steady 0|1   9 longest gap between two beats of a steady fleet in ms
--       10 for how long it must have been heard in ms
-- ANSWER {server time in ms, parked entries due now (at most 1000 of each set are counted), paused 0|1, sweeper 0|1, parked entries,
--         {{stream number from 1, consumer, ms since its last beat or -1}, ...} (at most 100)}

local worker = ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('ZADD', KEYS[2], now, worker)
local due = #redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)
    + #redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, 1000)
local paused = redis.call('EXISTS', KEYS[5])

-- The mark says since when the fleet is heard without a gap, whoever beats: workers that live for seconds only keep it
-- up one after the other. It does not outlive an outage, after which all but the first look silent.
local since = math.min(tonumber(redis.call('GET', KEYS[7]) or now), now)
if ARGV[8] == '1' then since = math.min(since, now - ARGV[10]) end
redis.call('SET', KEYS[7], string.format('%d', since), 'PX', ARGV[9])
local stands = now - since >= tonumber(ARGV[10])
local leads = 0
if stands and redis.call('SET', KEYS[6], worker, 'NX', 'PX', ARGV[6]) then
    leads = 1
elseif stands and redis.call('GET', KEYS[6]) == worker then
    redis.call('PEXPIRE', KEYS[6], ARGV[6])
    leads = 1
end

local suspects = {}
if leads == 1 then
    for i = 8, #KEYS do
        -- The summary lists only consumers that hold something, however many exist.
        local summary = redis.pcall('XPENDING', KEYS[i], ARGV[4])
        if summary.err == nil and summary[4] then
            for _, row in ipairs(summary[4]) do
                if row[1] ~= ARGV[5] and row[1] ~= worker and #suspects < 100 then
                    local beat = redis.call('ZSCORE', KEYS[2], row[1])
                    local silence = -1
                    -- A clock that was set back makes nobody silent.
                    if beat then silence = math.max(0, now - tonumber(beat)) end
                    if not beat or silence >= tonumber(ARGV[7]) then
                        suspects[#suspects + 1] = {i - 7, row[1], silence}
                    end
                end
            end
        end
    end
end
return {now, due, paused, leads, redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4]), suspects}
