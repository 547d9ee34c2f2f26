-- Deletes entries that every group is through with and nobody deleted: a foreign worker acknowledges and
-- leaves them lying, and so do we while another group still needs one. Walks a slice, and never beyond what
-- our group was given last.
--
-- KEYS  1 stream
-- ARGV  1 group   2 first id to look at   3 at most this many
-- ANSWER {id to go on from or '', how many were deleted}

local group, limit = ARGV[1], tonumber(ARGV[3])
local last, others = groups_of(KEYS[1], group)
if not last or last == '0-0' then return {'', 0} end
local rows = redis.call('XRANGE', KEYS[1], ARGV[2], last, 'COUNT', limit)
local deleted, seen = 0, ''

for _, row in ipairs(rows) do
    seen = row[1]
    if #redis.call('XPENDING', KEYS[1], group, seen, seen, 1) == 0
        and not is_needed(KEYS[1], others, seen) then
        redis.call('XDEL', KEYS[1], seen)
        deleted = deleted + 1
    end
end
if #rows < limit then seen = '' end
return {seen, deleted}
