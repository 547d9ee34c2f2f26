-- A start and an end each change a job's row. An index that names its state makes every such change a new entry in
-- every index of the table; without one, a start is an update in place (what Postgres calls HOT), which costs a third.
-- So no index names the state itself: they name two columns that are made from it and change at a job's end only.

-- A table of millions of rows takes longer than a statement may otherwise.
set local statement_timeout = 0;

alter table millstream.jobs
    add column live boolean not null generated always as
        (state in ('scheduled', 'waiting', 'running', 'retrying')) stored,
    add column given_up text generated always as
        (case when state in ('dead', 'dropped', 'cancelled') then state end) stored;

drop index millstream.jobs_live_idx;
drop index millstream.jobs_queue_state_idx;
drop index millstream.jobs_dead_idx;
-- The live are walked oldest first, in pages.
create index jobs_live_idx on millstream.jobs (queue, created_at, id) where live;
-- Scheduled and retrying jobs by the time at which they are due.
create index jobs_run_at_idx on millstream.jobs (queue, run_at) where run_at is not null;
-- The dead are walked newest first, in pages; those thrown away or called off are counted.
create index jobs_given_up_idx on millstream.jobs (queue, given_up, finished_at desc, id desc)
    where given_up is not null;

-- Room on each page for the row of a start beside the row that it takes the place of.
alter table millstream.jobs set (fillfactor = 50);

-- Attempts and events are written in the statement that has locked their job's row, so a foreign key's look for
-- that row finds nothing new, and costs as much as the write. Both still go when their job goes: by a trigger.
alter table millstream.attempts drop constraint attempts_job_id_fkey;
alter table millstream.events drop constraint events_job_id_fkey;

create function millstream.forget_jobs() returns trigger language plpgsql as $$
begin
    delete from millstream.attempts a using gone g where a.job_id = g.id;
    delete from millstream.events e using gone g where e.job_id = g.id;
    return null;
end
$$;
create trigger forget_jobs after delete on millstream.jobs
    referencing old table as gone for each statement execute function millstream.forget_jobs();
