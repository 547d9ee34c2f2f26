-- The cause of a dead job, so that the dead can be counted by it. Written when the job is buried; a row that
-- an older version buried has none, and gets it from the worker that reconciles.
alter table millstream.jobs add column fingerprint text;
create index jobs_fingerprint_idx on millstream.jobs (queue, fingerprint, finished_at desc) where given_up = 'dead';
