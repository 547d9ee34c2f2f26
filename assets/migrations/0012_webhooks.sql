-- Whoever submits a review can name an address that is told how it ended.

alter table millstream.jobs add column callback_url text;

-- What a webhook says, as it was at the end that it tells of: each delivery sends the same bytes.
create table millstream.webhooks (
    job_id     uuid primary key references millstream.jobs (id) on delete cascade,
    review_id  uuid not null,
    url        text not null,
    body       text not null,
    created_at timestamptz not null default now()
);
create index webhooks_review_idx on millstream.webhooks (review_id);

-- The end of a job and the webhook that tells of it are one transaction, whoever ends the job: a worker, an operator,
-- the reconciler that finds a foreign result, also a process of an earlier version. The webhook is a job of the queue
-- beside the one it tells of (`QueueSettings::webhooks`), due at once: the reconciler of that queue enqueues it within
-- a second.
create function millstream.tell_callback() returns trigger language plpgsql as $$
declare
    hook uuid := gen_random_uuid();
    kind text := 'review.' || new.state;
    told text;
begin
    -- A receiver should not have to take more than some 20 kB; everything is behind the API.
    with shown as (
        select ord, agent, severity, left(file, 500) as file, line, left(note, 500) as note
        from millstream.findings where job_id = new.id order by ord limit 20
    )
    select json_build_object(
        'type', kind,
        'timestamp', to_char(coalesce(new.finished_at, now()) at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'data', json_build_object(
            'id', new.id,
            'pr_url', new.payload,
            'state', new.state,
            'status', r.status,
            'verdict', r.verdict,
            'reason', left(coalesce(r.reason, new.error), 2000),
            'error_class', case when new.state <> 'done' then new.error_class end,
            'attempt', new.attempt,
            'input_tokens', coalesce(r.input_tokens, 0),
            'output_tokens', coalesce(r.output_tokens, 0),
            'created_at', to_char(new.created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            'finished_at', to_char(new.finished_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            'findings', coalesce((select json_agg(json_build_object(
                'agent', agent, 'severity', severity, 'file', file, 'line', line, 'note', note) order by ord)
                from shown), '[]'::json),
            'findings_total', (select count(*) from millstream.findings where job_id = new.id)
        ))::text
    into told
    from (select 1) as one left join reviews r on r.id = new.id;

    insert into millstream.jobs (id, queue, kind, lane, payload, state, run_at, traceparent)
    values (hook, new.queue || ':webhooks', 'webhook', 'own', kind || ' ' || new.id, 'scheduled', now(),
            new.traceparent);
    insert into millstream.webhooks (job_id, review_id, url, body) values (hook, new.id, new.callback_url, told);
    return null;
end
$$;

-- Deferred to the commit: the result is written after the state, in the same transaction. Jobs without an address
-- pay for one comparison.
create constraint trigger tell_callback after update of state on millstream.jobs
    deferrable initially deferred for each row
    when (new.callback_url is not null and new.state is distinct from old.state
          and new.state in ('done', 'dead', 'cancelled'))
    execute function millstream.tell_callback();
