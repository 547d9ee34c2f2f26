-- Each row of the operators' book is shown with what took it back; without this the whole book was read for each.
create index actions_undoes_idx on millstream.actions (undoes) where undoes is not null;
