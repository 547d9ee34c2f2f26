-- Which commit a review has last read, for those whose verdict is to be posted: a review of a newer commit of the same
-- pull request ends the ones that wait.
create table millstream.heads (
    job_id uuid primary key references millstream.jobs (id) on delete cascade,
    pull   text not null,
    head   text not null
);
create index heads_pull_idx on millstream.heads (pull);
