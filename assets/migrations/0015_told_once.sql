-- A job that an undo brings back among the dead has told of its death before, and a receiver would take the second
-- telling for another death: it has an id of its own. A death of its own is as old as its transaction.
drop trigger tell_callback on millstream.jobs;
create constraint trigger tell_callback after update of state on millstream.jobs
    deferrable initially deferred for each row
    when (new.callback_url is not null and new.state is distinct from old.state
          and (new.state in ('done', 'cancelled') or (new.state = 'dead' and new.finished_at = now())))
    execute function millstream.tell_callback();

-- What a reference worker has found is told as well.
create or replace function millstream.tell_callback() returns trigger language plpgsql as $$
declare
    hook uuid := gen_random_uuid();
    kind text := 'review.' || new.state;
    told text;
begin
    -- A receiver should not have to take more than some 20 kB; everything is behind the API.
    -- A reference worker writes notes alone, into the reference's own table.
    with found as (
        select ord::bigint, agent, severity, file, line, note from millstream.findings where job_id = new.id
        union all
        select id::bigint, agent, null, null, null, note from findings
        where review_id = new.id and not exists (select 1 from millstream.findings where job_id = new.id)
    ), shown as (
        select ord, agent, severity, left(file, 500) as file, line, left(note, 500) as note
        from found order by ord limit 20
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
            'findings_total', (select count(*) from found)
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

