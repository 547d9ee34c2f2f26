-- What operators do in bulk, what they can take back, and a book that can be asked.

-- The book says more: on which queue, from which profile, why, what was typed, and of how many ids.
alter table millstream.actions
    add column queue     text,
    add column profile   text,
    add column reason    text,
    -- The filter as it was typed.
    add column filter    text,
    -- How many ids were meant, and the hash of all of them: the detail names only the first thousand.
    add column ids_count integer,
    add column ids_hash  text,
    -- The action that this one took back.
    add column undoes    bigint,
    -- An intent that was written to Valkey while Postgres was away, by which it is copied once.
    add column glass     uuid;
create unique index actions_glass_idx on millstream.actions (glass) where glass is not null;
create index actions_at_idx on millstream.actions (queue, at desc);

-- What a move found before it changed a job, written in the move's own transaction: what it takes to undo it.
create table millstream.moved (
    id        bigint generated always as identity primary key,
    action_id bigint not null,
    job_id    uuid not null,
    -- requeue, cancel, bury, drop, retry, submit, edit.
    how       text not null,
    -- How often the job had been started: one that was started since cannot be taken back.
    attempt   integer not null,
    before    jsonb not null default '{}',
    at        timestamptz not null default now(),
    -- The action that took it back.
    undone_by bigint
);
create index moved_action_idx on millstream.moved (action_id, job_id);
create index moved_job_idx on millstream.moved (job_id, id desc);

-- A plan to put many dead jobs back, at a pace, that any process can go on with.
create table millstream.runs (
    id         bigint generated always as identity primary key,
    action_id  bigint not null unique,
    queue      text not null,
    actor      text not null,
    reason     text not null,
    filter     text,
    ids_hash   text not null,
    state      text not null check (state in ('running', 'paused', 'stopped', 'aborted', 'done')),
    -- Why it stands still, for people.
    why        text,
    canary     integer not null,
    -- Jobs a second; none means as fast as it goes.
    rate       double precision,
    -- The most that are on their way at a time; none means all.
    in_flight  integer,
    -- The share of failures beyond which it stops; none means never.
    stop_over  double precision,
    -- Whether its jobs were named one by one.
    by_name    boolean not null,
    -- A run that stopped and is resumed begins again with a canary.
    wave       integer not null default 1,
    created_at timestamptz not null default now(),
    ended_at   timestamptz,
    -- Who drives it, by a number that is fresh with each drive, and until when nobody else may.
    holder     uuid,
    driver     text,
    until      timestamptz
);
create index runs_queue_idx on millstream.runs (queue, id desc);

-- The frozen list of a run: each job once, with the death that is meant.
create table millstream.run_items (
    run_id  bigint not null references millstream.runs (id) on delete cascade,
    ord     integer not null,
    job_id  uuid not null,
    died_at timestamptz not null,
    state   text not null default 'planned' check (state in ('planned', 'requeued', 'skipped', 'undone')),
    -- Why it was skipped, for people.
    why     text,
    wave    integer,
    at      timestamptz,
    -- The state in which the job ended, once it did.
    result  text,
    primary key (run_id, ord),
    unique (run_id, job_id)
);
create index run_items_planned_idx on millstream.run_items (run_id, ord) where state = 'planned';
create index run_items_open_idx on millstream.run_items (run_id) where state = 'requeued' and result is null;

-- Which death of a job was exported: what nobody has a copy of is not thrown away in bulk.
create table millstream.exports (
    job_id    uuid not null,
    died_at   timestamptz not null,
    at        timestamptz not null default now(),
    action_id bigint not null,
    primary key (job_id, died_at)
);

-- The job that took the place of a dead one, with another input.
create table millstream.replacements (
    job_id    uuid primary key,
    replaces  uuid not null,
    action_id bigint not null,
    at        timestamptz not null default now()
);
create index replacements_replaces_idx on millstream.replacements (replaces);

-- How many workers a queue's fleet shall have, for whoever starts them on one machine.
create table millstream.fleets (
    queue    text primary key,
    wanted   integer not null,
    asked_at timestamptz not null default now(),
    asked_by text not null,
    -- What the fleet answered last.
    running  integer,
    seen_at  timestamptz
);
