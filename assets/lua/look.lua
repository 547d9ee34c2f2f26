-- What the reconciler wants to know every few seconds: whether the data is that which it knows, and whether operators
-- noted anything while Postgres was away.
--
-- KEYS  1 epoch   2 notes of operators
-- ARGV  1 the epoch of a queue that has none, since it is new or was lost
-- ANSWER {epoch, run id of the server, how many notes there are}

redis.call('SET', KEYS[1], ARGV[1], 'NX')
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
return {redis.call('GET', KEYS[1]), run, redis.call('XLEN', KEYS[2])}
