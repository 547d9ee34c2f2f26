-- The three tables of the reference system, made when they are missing and left alone when they
-- are there: its processes read every column, so ours may never add one.

create table if not exists reviews (
    id            uuid primary key,
    pr_url        text not null,
    status        text not null default 'pending',
    verdict       text,
    reason        text,
    source        text,
    workflow      text,
    input_tokens  integer not null default 0,
    output_tokens integer not null default 0,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);
create index if not exists reviews_created_at_idx on reviews (created_at desc);

create table if not exists findings (
    id         serial primary key,
    review_id  uuid not null references reviews (id) on delete cascade,
    agent      text not null,
    note       text not null,
    created_at timestamptz not null default now()
);
create index if not exists findings_review_id_idx on findings (review_id);

create table if not exists spans (
    span_id        uuid primary key,
    run_id         uuid not null,
    parent_span_id uuid,
    name           text not null,
    kind           text not null,
    status         text not null default 'running',
    input          jsonb,
    output         jsonb,
    error          text,
    started_at     timestamptz not null default now(),
    ended_at       timestamptz
);
create index if not exists spans_run_id_idx on spans (run_id);
