-- Who puts a job back takes its entry off the stream, and owes it another. A worker that was delivered the old one before
-- that, and asks for its start after it, must not get it: the job would run by an entry that no other worker is ever
-- delivered. So the row remembers which entry was the last.
alter table millstream.jobs add column past_entry text;
