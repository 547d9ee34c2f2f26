-- What operators set about a queue, and the order in which they look at the dead.

-- One row for each queue that an operator ever paused or resumed. The key in Valkey that stops the fetches is
-- made from it, and made again when Valkey lost it.
create table millstream.queues (
    name       text primary key,
    -- None while the queue runs.
    paused_at  timestamptz,
    paused_by  text,
    reason     text,
    updated_at timestamptz not null default now()
);

-- Dead jobs are walked newest first, in pages.
create index jobs_dead_idx on millstream.jobs (queue, finished_at desc, id desc) where state = 'dead';
