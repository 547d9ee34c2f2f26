-- Which delivery of its entry the last start was for: a start that comes late, from a worker that was frozen
-- between the fetch and its question, is told from a new one.
alter table millstream.jobs add column delivery integer not null default 0;

-- A third stream carries what is to be run before everything else.
alter table millstream.jobs drop constraint jobs_lane_check;
alter table millstream.jobs add constraint jobs_lane_check check (lane in ('own', 'shared', 'high'));
