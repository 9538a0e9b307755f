-- append_calls appends for many callers at once, each to one stream, each with its own expectation and command: what a
-- process combined. It does what is plain and leaves the rest alone: it answers with a row for each call that was
-- appended, and none for a call whose head somebody else holds, whose stream is not as expected, of whose
-- events one stands somewhere, or whose command is known. Nothing of such a call is written, and its caller sends it again
-- by append_one, which says what is the matter. So nobody waits for a stranger's tenant.
--
-- p_tenants are the tenants of the calls, each once and sorted: heads are locked in this order by everybody who locks
-- several. The caller sees to it that no two calls share a stream, a command or an event id. Events come in the order of
-- their calls; p_calls holds the number of each event's call. A tenant's calls share one recorded_at and one link.
{{ range $log := list "lifecycle" "inference" }}
create function {{ $log }}.append_calls(
  p_wait integer, p_tenants text[],
  p_of_tenants text[], p_types text[], p_ids text[], p_at_least bigint[], p_at_most bigint[],
  p_commands text[], p_request_hashes bytea[], p_results text[],
  p_calls integer[],
  p_event_ids uuid[], p_event_types text[], p_event_versions integer[], p_event_data text[], p_metadata text[],
  p_occurred timestamptz[], p_causation text[], p_correlation text[], p_digests bytea[]
) returns table (call integer, stream_revision bigint, log_position bigint, recorded timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
as $function$
declare
  v_tenants text[];
  v_firsts  bigint[];
begin
  -- First of all the heads, as in append_one. The second time round those of new tenants are there, and held by this call.
  for v_round in 1 .. 2 loop
    if p_wait > 0 then
      perform set_config('lock_timeout', p_wait::text, true);
      select array_agg(h.tenant_id), array_agg(h.first_position) into v_tenants, v_firsts
        from unnest(p_tenants) as t (id)
        cross join lateral (
          select * from {{ $log }}.heads h where h.tenant_id = t.id offset 0 for no key update) h;
    else
      select array_agg(h.tenant_id), array_agg(h.first_position) into v_tenants, v_firsts
        from unnest(p_tenants) as t (id)
        cross join lateral (
          select * from {{ $log }}.heads h where h.tenant_id = t.id offset 0 for no key update skip locked) h;
    end if;
    exit when v_round = 2 or cardinality(v_tenants) = cardinality(p_tenants);
    perform set_config('lock_timeout', greatest(p_wait, 100)::text, true);
    insert into {{ $log }}.heads (tenant_id)
    select t.id from unnest(p_tenants) as t (id)
     where not exists (select from {{ $log }}.heads h where h.tenant_id = t.id offset 0)
    on conflict do nothing;
    exit when not found;
  end loop;

  return query
  with log as materialized (
    select t.id, coalesce(l.position, t.first_position - 1) as position, greatest(clock_timestamp(), l.recorded_at) as now,
           coalesce(l.link, {{ template "shared/first_link.sql" (list $log "t.id") }}) as link
      from unnest(v_tenants, v_firsts) as t (id, first_position)
      left join lateral (
        select e.position, e.recorded_at, e.link from {{ $log }}.events e
         where e.tenant_id = t.id
         order by e.position desc limit 1) l on true
  ), stored as (
    select g.call
      from unnest(p_calls, p_event_ids) as g (call, id)
      cross join lateral (
        select k.event_id from {{ $log }}.events k where k.tenant_id = p_of_tenants[g.call] and k.event_id >= g.id
         order by k.event_id limit 1) k
     where k.event_id = g.id and p_at_least[g.call] < p_at_most[g.call] -- as in append_one
  ), plain as materialized (
    select c.*, l.position, l.now, coalesce(s.aggregate_version, 0) as revision
      from unnest(p_of_tenants, p_types, p_ids, p_at_least, p_at_most, p_commands, p_request_hashes, p_results)
           with ordinality as c (tenant, type, id, at_least, at_most, command, request_hash, result, n)
      join log l on l.id = c.tenant
      left join lateral (
        select e.aggregate_version from {{ $log }}.events e
         where e.tenant_id = c.tenant and e.aggregate_type = c.type and e.aggregate_id = c.id
         order by e.aggregate_version desc limit 1) s on true
     where coalesce(s.aggregate_version, 0) between c.at_least and c.at_most
       and c.n not in (select stored.call from stored)
  ), command as (
    insert into phantom.commands as m (tenant_id, command_id, request_hash, result)
    select p.tenant, p.command, p.request_hash, p.result::json from plain p where p.command is not null
    on conflict do nothing
    returning m.tenant_id, m.command_id
  ), event as materialized (
    select e.*, p.tenant, p.type as stream_type, p.id as stream_id, p.now,
           p.position + row_number() over (partition by p.tenant order by e.n) as position,
           p.revision + row_number() over (partition by e.call order by e.n) as revision
      from unnest(p_calls, p_event_ids, p_event_types, p_event_versions, p_event_data, p_metadata, p_occurred,
                  p_causation, p_correlation, p_digests)
           with ordinality as e (call, id, type, version, data, metadata, occurred, causation, correlation, digest, n)
      join plain p on p.n = e.call
      left join command m on m.tenant_id = p.tenant and m.command_id = p.command
     where p.command is null or m.command_id is not null
  ), linked as materialized (
    select e.tenant, max(e.position) as position,
           sha256(l.link || string_agg({{ template "shared/link.sql" (list "e.position" "e.revision" "e.now" "e.digest") }}, '' order by e.position)) as link
      from event e join log l on l.id = e.tenant
     group by e.tenant, l.link
  ), added as (
    insert into {{ $log }}.events ({{ template "shared/event_columns.sql" }})
    select e.tenant, e.position, e.id, e.stream_type, e.stream_id, e.revision, e.type, e.version,
           e.data::json, e.metadata::json, e.occurred, e.now, e.causation, e.correlation, e.digest, k.link
      from event e
      left join linked k on k.tenant = e.tenant and k.position = e.position
  )
  select e.call, max(e.revision), max(e.position), max(e.now) from event e group by e.call;
end
$function$;
{{ template "shared/own.sql" (list "phantom_append" $log "append_calls") }}
{{ end }}
---- create above / drop below ----

drop function inference.append_calls;
drop function lifecycle.append_calls;
