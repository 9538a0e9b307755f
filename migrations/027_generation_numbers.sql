-- The number of a generation is never given twice: a runner that has not heard of a drop would take the next generation for
-- the one that it knows.
alter table phantom.projection_generation
  add column last_generation integer not null default 1,
  add constraint projection_generation_numbers_count check (last_generation >= 1);

update phantom.projection_generation g set last_generation = greatest(g.live_generation, (
  select max(b.generation) from phantom.projection_build b where b.projection = g.projection));

---- create above / drop below ----

alter table phantom.projection_generation drop column last_generation;
