-- Everything of ours. The schema itself is made by the migrator before this file runs.

-- One row for each job that was ever accepted: the truth about its state.
create table millstream.jobs (
    id          uuid primary key,
    queue       text not null,
    kind        text not null,
    lane        text not null check (lane in ('own', 'shared')),
    payload     text not null,
    state       text not null check (state in
                ('scheduled', 'waiting', 'running', 'retrying', 'dead', 'dropped', 'cancelled', 'done')),
    -- The fence: how often a worker started it. Every write of an attempt names its number.
    attempt     integer not null default 0,
    failures    integer not null default 0,
    crashes     integer not null default 0,
    priority    smallint not null default 0,
    -- The stream entry that stands for this job; none while the enqueue is still owed.
    entry_id    text,
    enqueued_at timestamptz,
    -- When a scheduled or retrying job is due.
    run_at      timestamptz,
    worker      text,
    started_at  timestamptz,
    finished_at timestamptz,
    error       text,
    error_class text,
    traceparent text,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);
create index jobs_live_idx on millstream.jobs (queue, state, created_at)
    where state in ('scheduled', 'waiting', 'running', 'retrying');
create index jobs_queue_state_idx on millstream.jobs (queue, state);
create index jobs_created_idx on millstream.jobs (queue, created_at desc);
create index jobs_finished_idx on millstream.jobs (queue, finished_at desc) where finished_at is not null;

-- One row for each start of a job.
create table millstream.attempts (
    job_id        uuid not null references millstream.jobs (id) on delete cascade,
    attempt       integer not null,
    worker        text not null,
    started_at    timestamptz not null default now(),
    ended_at      timestamptz,
    -- done, failed, crashed, handed_back, cancelled; none while it runs.
    outcome       text,
    error_class   text,
    error         text,
    input_tokens  bigint not null default 0,
    output_tokens bigint not null default 0,
    cost_usd      double precision not null default 0,
    primary key (job_id, attempt)
);
create index attempts_worker_idx on millstream.attempts (worker, ended_at desc);

-- The text of a submitted diff; never in Valkey.
create table millstream.inputs (
    job_id     uuid primary key references millstream.jobs (id) on delete cascade,
    label      text not null,
    sha256     text not null,
    bytes      integer not null,
    body       text not null,
    created_at timestamptz not null default now()
);

-- What happened to a job, in order. seq rises over all attempts.
create table millstream.events (
    job_id  uuid not null references millstream.jobs (id) on delete cascade,
    seq     bigint not null,
    attempt integer not null,
    at      timestamptz not null,
    body    jsonb not null,
    primary key (job_id, seq)
);

-- What a later attempt need not pay for again.
create table millstream.checkpoints (
    job_id  uuid not null references millstream.jobs (id) on delete cascade,
    step    text not null,
    attempt integer not null,
    body    jsonb not null,
    at      timestamptz not null default now(),
    primary key (job_id, step)
);

-- Findings with their parts; the reference's table keeps the prose.
create table millstream.findings (
    job_id   uuid not null references millstream.jobs (id) on delete cascade,
    ord      integer not null,
    agent    text not null,
    severity text not null check (severity in ('info', 'warn', 'block')),
    file     text,
    line     integer,
    note     text not null,
    primary key (job_id, ord)
);

-- What a span of the reference's table does not hold.
create table millstream.span_facts (
    span_id       uuid primary key,
    job_id        uuid not null references millstream.jobs (id) on delete cascade,
    attempt       integer not null,
    worker        text not null,
    model         text,
    input_tokens  bigint not null default 0,
    output_tokens bigint not null default 0,
    cost_usd      double precision not null default 0
);
create index span_facts_job_idx on millstream.span_facts (job_id);

-- A repeated submission with the same key answers with the first one's job.
create table millstream.idempotency (
    client     text not null,
    key        text not null,
    body_sha256 text not null,
    job_id     uuid not null,
    created_at timestamptz not null default now(),
    primary key (client, key)
);
create index idempotency_created_idx on millstream.idempotency (created_at);

-- What an operator wanted, and what came of it.
create table millstream.actions (
    id         bigint generated always as identity primary key,
    at         timestamptz not null default now(),
    actor      text not null,
    verb       text not null,
    detail     jsonb not null default '{}',
    ended_at   timestamptz,
    outcome    text,
    result     jsonb
);

-- Who leads what: a lease row works through a pooler, a session lock does not.
create table millstream.leases (
    name   text primary key,
    holder text not null,
    until  timestamptz not null
);
