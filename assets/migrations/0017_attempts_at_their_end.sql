-- An attempt that runs is in its job's row: number, worker and beginning stand there. So a row of its own is written
-- once, when it has ended, and a start is one update in place. (Workers of an earlier version still write a row at the
-- start; who ends such an attempt fills it in, and while it has no end nobody looks at it.)

-- Every attempt, those that run too.
create view millstream.all_attempts as
    select job_id, attempt, worker, started_at, ended_at, outcome, error_class, error, input_tokens, output_tokens,
           cost_usd
    from millstream.attempts
    where ended_at is not null
    union all
    select j.id, j.attempt, j.worker, j.started_at, null, null, null, null, 0, 0, 0
    from millstream.jobs j
    where j.state = 'running';

-- Where to look for what a worker runs: with each start it tells of all the jobs that it holds. Which of them run is
-- said by their rows; an index of those would make every start a new entry in every index of the table.
create table millstream.at_work (
    worker text primary key,
    -- Rises with the worker's questions: of two that are on their way at a time the later one knows of both.
    serial bigint not null,
    jobs   uuid[] not null,
    at     timestamptz not null default now()
);
-- Random ids do not get smaller.
alter table millstream.at_work alter column jobs set storage external;
