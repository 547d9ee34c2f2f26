-- Verdicts on their way to GitHub: one for each head commit of a pull request. A row is written before anything is
-- posted, so that whoever comes after a lost reply or a crash knows that it may be there already.
create table millstream.postings (
    pull      text not null,
    head      text not null,
    job_id    uuid not null,
    state     text not null default 'intended' check (state in ('intended', 'posted')),
    -- GitHub's number for the review, if its answer was heard.
    github_id bigint,
    at        timestamptz not null default now(),
    primary key (pull, head)
);
