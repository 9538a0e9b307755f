-- What projections and followers remember. Nothing here is a fact: it can be dropped and rebuilt from
-- the logs.

-- Which generation of a projection's rows answers questions. A rebuild fills the next one beside it and
-- flips live_generation. No tenant: a flip is one update for all of them.
create table phantom.projection_generation (
  projection      text collate "C" not null,
  log             text collate "C" not null,
  live_generation integer not null default 1,
  -- Counts the runners that took the projection over: a runner with an older epoch stands back.
  epoch           bigint not null default 0,
  constraint projection_generation_pkey primary key (projection),
  constraint projection_generation_log_known check (log in ('lifecycle', 'inference')),
  constraint projection_generation_from_one check (live_generation >= 1),
  constraint projection_generation_epoch_counts check (epoch >= 0)
);

grant select, insert, update on phantom.projection_generation to phantom_serving;

-- How far a projection has applied a tenant's log. Moved by compare-and-set in the transaction that
-- writes the rows, so a row and its place in history never part.
create table phantom.projection_checkpoint (
  tenant_id      text collate "C" not null,
  log            text collate "C" not null,
  projection     text collate "C" not null,
  generation     integer not null,
  epoch          bigint not null,
  position       bigint not null,
  updated_at     timestamptz not null default clock_timestamp(),
  -- Why the tenant's projection does not move, if it does not: the last failure since it moved.
  error          text,
  -- The position of the event that cannot be applied; null when the failure is not an event's.
  error_position bigint,
  failed_at      timestamptz,
  constraint projection_checkpoint_pkey primary key (tenant_id, log, projection, generation),
  constraint projection_checkpoint_position_counts check (position >= 0),
  constraint projection_checkpoint_failure_whole check ((error is null) = (failed_at is null))
);

-- The runner asks for all tenants of one projection when it starts and in each sweep.
create index projection_checkpoint_by_projection
  on phantom.projection_checkpoint (projection, generation, tenant_id);

{{ template "shared/projected.sql" "phantom.projection_checkpoint" }}

-- The feed role reads the places of all tenants, and nothing else of them.
create policy feed_reads on phantom.projection_checkpoint for select to phantom_feed using (true);
grant select on phantom.projection_checkpoint to phantom_feed;

-- projection_places tells where one generation of a projection stands, for every tenant.
create function phantom.projection_places(p_projection text, p_generation integer)
returns setof phantom.projection_checkpoint
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $function$
  select * from phantom.projection_checkpoint c
   where c.projection = p_projection and c.generation = p_generation;
$function$;
{{ template "shared/own.sql" (list "phantom_feed" "phantom" "projection_places") }}

-- Members of a group that follows a log outside of PostgreSQL, as gateways do. A member that was not
-- seen for a lease is dead and nobody waits for it.
create table phantom.follower (
  follower_group text collate "C" not null,
  name           text collate "C" not null,
  seen_at        timestamptz not null,
  constraint follower_pkey primary key (follower_group, name)
);

grant select, insert, update, delete on phantom.follower to phantom_serving;

-- How far a member has taken in a tenant's log.
create table phantom.follower_ack (
  tenant_id      text collate "C" not null,
  follower_group text collate "C" not null,
  name           text collate "C" not null,
  position       bigint not null,
  acked_at       timestamptz not null,
  constraint follower_ack_pkey primary key (tenant_id, follower_group, name),
  constraint follower_ack_position_counts check (position >= 0)
);

{{ template "shared/projected.sql" "phantom.follower_ack" }}


---- create above / drop below ----

drop table phantom.follower_ack;
drop table phantom.follower;
drop function phantom.projection_places;
drop table phantom.projection_checkpoint;
drop table phantom.projection_generation;
