-- What steers projections: pause, generations beside the live one, parked events. It stands here, so that an API, a
-- workflow and a runner in three processes are told the same.

-- While a projection is paused no checkpoint of it moves, whoever runs it.
alter table phantom.projection_generation
  add column paused_at    timestamptz,
  add column pause_reason text not null default '';

-- The generations of a projection that have rows. One is live (projection_generation.live_generation). A filling one goes
-- live by itself when it has caught up; a complete one that is not live is kept, and applied, for the way back.
create table phantom.projection_build (
  projection text collate "C" not null,
  generation integer not null,
  state      text collate "C" not null,
  -- Counts the runners that took the generation over: a runner with an older epoch stands back.
  epoch      bigint not null default 0,
  -- When the youngest runner was seen; null when it has left.
  seen_at    timestamptz,
  -- Counts what a loop learns only when it begins again: a checkpoint went back.
  restarts   bigint not null default 0,
  -- Events a second that a runner applies at most; null is no limit.
  per_second integer,
  made_at    timestamptz not null default clock_timestamp(),
  constraint projection_build_pkey primary key (projection, generation),
  constraint projection_build_of_a_projection foreign key (projection) references phantom.projection_generation (projection),
  constraint projection_build_state_known check (state in ('filling', 'complete', 'dropping')),
  constraint projection_build_epoch_counts check (epoch >= 0),
  constraint projection_build_some_events check (per_second > 0)
);

-- One rebuild at a time.
create unique index projection_build_filling on phantom.projection_build (projection) where state = 'filling';

insert into phantom.projection_build (projection, generation, state, epoch, seen_at)
select projection, live_generation, 'complete', epoch, seen_at from phantom.projection_generation;

alter table phantom.projection_generation drop column epoch, drop column seen_at;

revoke all on phantom.projection_build from public;
grant select, insert, update, delete on phantom.projection_build to phantom_serving;

-- Events that wait for a retry. A batch of a tenant that has none looks no further.
alter table phantom.projection_checkpoint
  add column parked bigint not null default 0,
  add constraint projection_checkpoint_parked_counts check (parked >= 0);

-- The events that are set aside: one that cannot be applied, and the later ones whose rows depend on it. The events
-- themselves stand in the log.
create table phantom.projection_parked (
  tenant_id      text collate "C" not null,
  projection     text collate "C" not null,
  generation     integer not null,
  position       bigint not null,
  -- What the projection parks together: events of one group never overtake each other.
  group_key      text collate "C" not null,
  aggregate_type text collate "C" not null,
  aggregate_id   text collate "C" not null,
  event_type     text collate "C" not null,
  cause          text not null,
  parked_at      timestamptz not null default clock_timestamp(),
  constraint projection_parked_pkey primary key (tenant_id, projection, generation, position),
  constraint projection_parked_position_counts check (position > 0)
);

-- Is a group parked, and its events in order.
create index projection_parked_by_group
  on phantom.projection_parked (tenant_id, projection, generation, group_key, position);

-- Totals of all tenants, and what one generation parks beyond another.
create index projection_parked_by_projection on phantom.projection_parked (projection, generation, tenant_id, position);

{{ template "shared/projected.sql" "phantom.projection_parked" }}

-- The feed role counts what is parked of all tenants.
create policy feed_reads on phantom.projection_parked for select to phantom_feed using (true);
grant select on phantom.projection_parked to phantom_feed;
grant select on phantom.projection_build to phantom_feed;

-- projection_parked_totals counts what is parked, by projection and generation, of all tenants.
create function phantom.projection_parked_totals()
returns table (projection text, generation integer, events bigint, oldest timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $function$
  select p.projection, p.generation, count(*), min(p.parked_at)
    from phantom.projection_parked p group by p.projection, p.generation;
$function$;
{{ template "shared/own.sql" (list "phantom_feed" "phantom" "projection_parked_totals") }}

-- projection_distance compares two generations of a projection over all tenants: positions that the second has yet to
-- apply to stand where the first stands, and events that it parks and the first does not.
create function phantom.projection_distance(p_projection text, p_from integer, p_to integer,
  out behind bigint, out parked_beyond bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $function$
  select coalesce((
    select sum(greatest(f.position - coalesce(t.position, 0), 0))
      from phantom.projection_checkpoint f
      left join phantom.projection_checkpoint t
        on t.tenant_id = f.tenant_id and t.log = f.log and t.projection = f.projection and t.generation = p_to
     where f.projection = p_projection and f.generation = p_from), 0)::bigint, (
    select count(*) from phantom.projection_parked t
     where t.projection = p_projection and t.generation = p_to
       and not exists (
        select from phantom.projection_parked f
         where f.tenant_id = t.tenant_id and f.projection = t.projection and f.generation = p_from
           and f.position = t.position));
$function$;
{{ template "shared/own.sql" (list "phantom_feed" "phantom" "projection_distance") }}

---- create above / drop below ----

drop function phantom.projection_distance;
drop function phantom.projection_parked_totals;
drop table phantom.projection_parked;
alter table phantom.projection_checkpoint drop column parked;
alter table phantom.projection_generation
  add column epoch   bigint not null default 0,
  add column seen_at timestamptz,
  add constraint projection_generation_epoch_counts check (epoch >= 0);
update phantom.projection_generation g set epoch = b.epoch, seen_at = b.seen_at
  from phantom.projection_build b
 where b.projection = g.projection and b.generation = g.live_generation;
drop table phantom.projection_build;
alter table phantom.projection_generation drop column pause_reason, drop column paused_at;
