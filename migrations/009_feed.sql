-- What followers read: several tenants in one call, each after its own position. Positions are dense and in commit
-- order, so nothing can appear later at or before a position that a call has answered with.
{{ range $log := list "lifecycle" "inference" }}
-- feed_heads tells the last position of every tenant that has ever appended.
create function {{ $log }}.feed_heads() returns table (tenant text, last_position bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
as $function$
begin
  return query
  select h.tenant_id, coalesce(l.position, h.first_position - 1)
    from {{ $log }}.heads h
    left join lateral (
      select e.position from {{ $log }}.events e
       where e.tenant_id = h.tenant_id
       order by e.position desc limit 1) l on true;
end
$function$;
{{ template "shared/own.sql" (list "phantom_feed" $log "feed_heads") }}

-- feed_through tells how far feed_events may look: at most p_window positions, so that a rare type costs no long scan.
create function {{ $log }}.feed_through(p_tenants text[], p_after bigint[], p_window bigint)
returns table (tenant text, through bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
as $function$
begin
  return query
  select c.tenant, least(l.position, c.after + p_window)
    from unnest(p_tenants, p_after) as c (tenant, after)
    cross join lateral (
      select e.position from {{ $log }}.events e
       where e.tenant_id = c.tenant and e.position > c.after
       order by e.position desc limit 1) l;
end
$function$;
{{ template "shared/own.sql" (list "phantom_feed" $log "feed_through") }}

-- feed_events reads at most p_limit events a tenant, of the given types or of all, in the order of their positions.
create function {{ $log }}.feed_events(
  p_tenants text[], p_after bigint[], p_window bigint, p_types text[], p_limit integer
) returns setof {{ $log }}.events
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
as $function$
begin
  return query
  select e.*
    from unnest(p_tenants, p_after) with ordinality as c (tenant, after, n)
    cross join lateral (
      select * from {{ $log }}.events t
       where t.tenant_id = c.tenant and t.position > c.after and t.position <= c.after + p_window
         and (p_types is null or t.event_type = any (p_types))
       order by t.position limit p_limit) e
   order by c.n, e.position;
end
$function$;
{{ template "shared/own.sql" (list "phantom_feed" $log "feed_events") }}
{{ end }}
---- create above / drop below ----

{{ range $log := list "inference" "lifecycle" }}
drop function {{ $log }}.feed_events;
drop function {{ $log }}.feed_through;
drop function {{ $log }}.feed_heads;
{{ end }}
