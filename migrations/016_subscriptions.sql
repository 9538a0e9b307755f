-- Who has news, what named subscriptions remember, and how far everybody is behind.
{{ range $log := list "lifecycle" "inference" }}
-- feed_changed tells the last positions of the tenants that have appended since a transaction id: one that was the
-- oldest still running when the caller looked last (pg_snapshot_xmin, read in a statement before). An append locks its
-- head row, and the lock leaves its transaction's id there, so nobody has to write down who has news. Appends that were
-- still running are told again, until they have ended; what a long transaction costs is time, never an answer.
--
-- The id can be lost to a freezing vacuum and to two sessions that share a lock of the head. So this is for looking
-- often, and feed_heads, now and then, is for being sure. At 10,000 tenants with 20 events each on 2 cores (PostgreSQL
-- 15): 3.7 ms when nothing is new, of which the scan of the heads is 1 ms; feed_heads 290 ms, 30,000 pages.
create function {{ $log }}.feed_changed(p_since bigint) returns table (tenant text, last_position bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
as $function$
begin
  return query
  select h.tenant_id, l.position
    from {{ $log }}.heads h
    cross join lateral (
      select e.position from {{ $log }}.events e
       where e.tenant_id = h.tenant_id
       order by e.position desc limit 1) l
   where least(age(h.xmax), age(h.xmin)) <= age(p_since::text::xid8::xid); -- xmin: a head that is new
end
$function$;
{{ template "shared/own.sql" (list "phantom_feed" $log "feed_changed") }}
{{ end }}

-- The named subscriptions. No tenant: one runner follows all of them.
create table phantom.subscription (
  subscription text collate "C" not null,
  log          text collate "C" not null,
  -- Counts the runners that took it over: one with an older epoch moves no cursor any more.
  epoch        bigint not null default 0,
  -- When the youngest runner was seen; null when it has left. A runner that stands by takes over from a silent one.
  seen_at      timestamptz,
  -- True once every tenant that was there has its first cursor; a subscription from the beginning needs none.
  begun        boolean not null,
  created_at   timestamptz not null default clock_timestamp(),
  constraint subscription_pkey primary key (subscription),
  constraint subscription_log_known check (log in ('lifecycle', 'inference')),
  constraint subscription_epoch_counts check (epoch >= 0)
);

revoke all on phantom.subscription from public;
grant select, insert, update on phantom.subscription to phantom_serving;
grant select on phantom.subscription to phantom_feed;

-- How far a subscription has handled a tenant's log. Moved by compare-and-set, forward only.
create table phantom.subscription_cursor (
  tenant_id      text collate "C" not null,
  subscription   text collate "C" not null,
  epoch          bigint not null,
  position       bigint not null,
  updated_at     timestamptz not null default clock_timestamp(),
  -- Why it does not move, if it does not: the last failure since it moved.
  error          text,
  -- The position of the event that cannot be handled; null when it is not known which.
  error_position bigint,
  failed_at      timestamptz,
  constraint subscription_cursor_pkey primary key (tenant_id, subscription),
  constraint subscription_cursor_position_counts check (position >= 0),
  constraint subscription_cursor_failure_whole check ((error is null) = (failed_at is null))
);

-- A runner asks for all tenants of one subscription when it begins.
create index subscription_cursor_by_subscription on phantom.subscription_cursor (subscription, tenant_id);

{{ template "shared/projected.sql" "phantom.subscription_cursor" }}

-- The feed role reads the cursors of all tenants, and nothing else of them.
create policy feed_reads on phantom.subscription_cursor for select to phantom_feed using (true);
grant select on phantom.subscription_cursor to phantom_feed;

-- The same for projections.
alter table phantom.projection_generation add column seen_at timestamptz;

-- subscription_places tells where a subscription stands, for every tenant that it has handled something of.
create function phantom.subscription_places(p_subscription text) returns setof phantom.subscription_cursor
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $function$
  select * from phantom.subscription_cursor c where c.subscription = p_subscription;
$function$;
{{ template "shared/own.sql" (list "phantom_feed" "phantom" "subscription_places") }}

grant select on phantom.projection_generation to phantom_feed;

-- feed_lags tells of every projection (its live generation) and every subscription how many positions it is behind in
-- all, in how many tenants, for which tenant most, and when the oldest event that it has not handled was recorded. One
-- look at the heads serves all of them: it costs what feed_heads costs, and the age one lookup for each tenant behind.
create function phantom.feed_lags() returns table (
  kind text, name text, behind bigint, tenants bigint, worst_tenant text, worst_behind bigint, oldest timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
as $function$
begin
{{ range $log := list "lifecycle" "inference" }}
  return query
  with place as materialized ( -- read before the heads, so that no head is behind its place
    select 'projection' as kind, c.projection as name, c.tenant_id, c.position
      from phantom.projection_generation g
      join phantom.projection_checkpoint c on c.projection = g.projection and c.generation = g.live_generation
     where g.log = '{{ $log }}'
    union all
    select 'subscription', c.subscription, c.tenant_id, c.position
      from phantom.subscription s join phantom.subscription_cursor c on c.subscription = s.subscription
     where s.log = '{{ $log }}'
  ), follower as (
    select 'projection' as kind, g.projection as name from phantom.projection_generation g where g.log = '{{ $log }}'
    union all
    select 'subscription', s.subscription from phantom.subscription s where s.log = '{{ $log }}' and s.begun
  ), head as materialized (
    select h.tenant, h.last_position from {{ $log }}.feed_heads() h
  ), lag as (
    select f.kind, f.name, h.tenant, coalesce(p.position, 0) as position,
           greatest(h.last_position - coalesce(p.position, 0), 0) as behind
      from follower f
     cross join head h
      left join place p on p.kind = f.kind and p.name = f.name and p.tenant_id = h.tenant
  )
  select f.kind, f.name, coalesce(sum(l.behind), 0)::bigint, count(*) filter (where l.behind > 0),
         (array_agg(l.tenant order by l.behind desc, l.tenant))[1], coalesce(max(l.behind), 0), min(e.recorded_at)
    from follower f
    left join lag l on l.kind = f.kind and l.name = f.name and l.behind > 0
    left join lateral (
      select t.recorded_at from {{ $log }}.events t
       where t.tenant_id = l.tenant and t.position = l.position + 1) e on true
   group by f.kind, f.name;
{{ end }}
end
$function$;
{{ template "shared/own.sql" (list "phantom_feed" "phantom" "feed_lags") }}

---- create above / drop below ----

drop function phantom.feed_lags;
revoke select on phantom.projection_generation from phantom_feed;
drop function phantom.subscription_places;
alter table phantom.projection_generation drop column seen_at;
drop table phantom.subscription_cursor;
drop table phantom.subscription;
{{ range $log := list "inference" "lifecycle" }}
drop function {{ $log }}.feed_changed;
{{ end }}
