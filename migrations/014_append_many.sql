-- append_many is step 8's, with the link, and need not wait for the head: see append_one for the outcomes. A caller that did
-- not wait hears of a busy head in one row with no stream.
drop function lifecycle.append_many;
drop function inference.append_many;
{{ range $log := list "lifecycle" "inference" }}
create function {{ $log }}.append_many(
  p_wait integer, p_tenant text, p_types text[], p_ids text[], p_at_least bigint[], p_at_most bigint[], p_skip boolean[],
  p_streams integer[],
  p_event_ids uuid[], p_event_types text[], p_event_versions integer[], p_event_data text[], p_metadata text[],
  p_occurred timestamptz[], p_causation text[], p_correlation text[], p_digests bytea[],
  p_command text, p_request_hash bytea, p_result text
) returns table (
  stream integer, outcome text, stream_revision bigint, log_position bigint, recorded timestamptz, skipped uuid[]
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
as $function$
declare
  v_next      bigint;
  v_now       timestamptz;
  v_link      bytea;
  v_stream    record;
  v_actual    bigint[] := '{}'; -- the streams' revisions, by number
  v_revisions bigint[] := '{}'; -- the same, but for a repeated stream that of its last repeated event
  v_positions bigint[] := '{}';
  v_recorded  timestamptz[] := '{}';
  v_fresh     integer := 0; -- streams with events of which none stands there
  v_repeated  integer; -- the first stream whose events all stand there
  v_partial   integer; -- the first one of which some do, or in another order
  v_foreign   integer; -- the first one with an event that stands in another stream
  v_violated  integer; -- the first one that is not as expected
  v_culprit   integer := 1;
  v_outcome   text := 'appended';
  v_known     boolean := false;
  v_hash      bytea;
begin
{{ template "shared/lock_or_skip_head.sql" (list $log "return next; return;") }}
  select coalesce(l.position + 1, v_next), greatest(clock_timestamp(), l.recorded_at),
         coalesce(l.link, {{ template "shared/first_link.sql" (list $log "p_tenant") }})
    into v_next, v_now, v_link
    from (values (1)) as one
    left join lateral (
      select e.position, e.recorded_at, e.link from {{ $log }}.events e
       where e.tenant_id = p_tenant
       order by e.position desc limit 1) l on true;

  for v_stream in
    select s.n, s.at_least, s.at_most, s.skip, coalesce(h.aggregate_version, 0) as revision,
           coalesce(h.position, 0) as position, k.*
      from unnest(p_types, p_ids, p_at_least, p_at_most, p_skip)
           with ordinality as s (type, id, at_least, at_most, skip, n)
      left join lateral (
        select e.aggregate_version, e.position from {{ $log }}.events e
         where e.tenant_id = p_tenant and e.aggregate_type = s.type and e.aggregate_id = s.id
         order by e.aggregate_version desc limit 1) h on true
      cross join lateral (
        select count(*) as given, count(e.event_id) as everywhere,
               count(*) filter (where e.aggregate_type = s.type and e.aggregate_id = s.id) as here,
               min(e.aggregate_version - g.n) = max(e.aggregate_version - g.n) as in_order,
               max(e.aggregate_version) as last_revision, max(e.position) as last_position,
               max(e.recorded_at) as last_recorded
          from unnest(p_event_ids, p_streams) with ordinality as g (id, stream, n)
          left join lateral (
            select * from {{ $log }}.events k where k.tenant_id = p_tenant and k.event_id >= g.id
             order by k.event_id limit 1) e on e.event_id = g.id
         where g.stream = s.n) k
     order by s.n
  loop
    v_actual := v_actual || v_stream.revision;
    v_revisions := v_revisions || v_stream.revision;
    v_positions := v_positions || v_stream.position;
    v_recorded := v_recorded || null::timestamptz;
    if v_stream.here < v_stream.everywhere then
      v_foreign := coalesce(v_foreign, v_stream.n);
    elsif v_stream.skip or v_stream.given = 0 then
      null;
    elsif v_stream.everywhere = 0 then
      v_fresh := v_fresh + 1;
    elsif v_stream.here = v_stream.given and v_stream.in_order then
      v_repeated := coalesce(v_repeated, v_stream.n);
      v_revisions[v_stream.n] := v_stream.last_revision;
      v_positions[v_stream.n] := v_stream.last_position;
      v_recorded[v_stream.n] := v_stream.last_recorded;
    else
      v_partial := coalesce(v_partial, v_stream.n);
    end if;
    if v_stream.revision not between v_stream.at_least and v_stream.at_most then
      v_violated := coalesce(v_violated, v_stream.n);
    end if;
  end loop;

  if v_foreign is not null then
    v_outcome := 'duplicate_event';
    v_culprit := v_foreign;
  elsif v_partial is not null or (v_repeated is not null and v_fresh > 0) then
    v_outcome := 'wrong_version';
    v_culprit := coalesce(v_partial, v_repeated);
  elsif v_repeated is not null then
    v_outcome := 'repeated';
  elsif v_violated is not null then
    v_outcome := 'wrong_version';
    v_culprit := v_violated;
  end if;

{{ template "shared/command.sql" $log }}
  if v_outcome = 'repeated' then
    return query
    select s.n::integer, case when v_recorded[s.n] is null then 'guarded' else v_outcome end,
           v_revisions[s.n], v_positions[s.n], v_recorded[s.n], null::uuid[]
      from generate_subscripts(p_types, 1) as s (n);
    return;
  end if;
  if v_outcome <> 'appended' then
    return query select v_culprit, v_outcome, v_actual[v_culprit], v_positions[v_culprit], null::timestamptz, null::uuid[];
    return;
  end if;

  return query
  with event as materialized (
    select e.*, v_next - 1 + row_number() over (order by e.n) as position,
           v_revisions[e.stream] + row_number() over (partition by e.stream order by e.n) as revision
      from unnest(p_streams, p_event_ids, p_event_types, p_event_versions, p_event_data, p_metadata, p_occurred,
                  p_causation, p_correlation, p_digests)
           with ordinality as e (stream, id, type, version, data, metadata, occurred, causation, correlation, digest, n)
     where not (p_skip[e.stream] and e.id is not distinct from (
             select k.event_id from {{ $log }}.events k where k.tenant_id = p_tenant and k.event_id >= e.id
              order by k.event_id limit 1))
  ), linked as materialized (
    select max(e.position) as position,
           sha256(v_link || string_agg({{ template "shared/link.sql" (list "e.position" "e.revision" "v_now" "e.digest") }}, '' order by e.position)) as link
      from event e
  ), added as (
    insert into {{ $log }}.events as a ({{ template "shared/event_columns.sql" }})
    select p_tenant, e.position, e.id, p_types[e.stream], p_ids[e.stream], e.revision, e.type, e.version,
           e.data::json, e.metadata::json, e.occurred, v_now, e.causation, e.correlation, e.digest,
           case when e.position = l.position then l.link end
      from event e cross join linked l
    returning a.event_id, a.aggregate_version, a.position
  )
  select s.n::integer, v_outcome, coalesce(max(a.aggregate_version), v_revisions[s.n]),
         coalesce(max(a.position), v_positions[s.n]), case when count(a.position) > 0 then v_now end,
         array_agg(g.id order by g.n) filter (where g.id is not null and a.event_id is null)
    from generate_subscripts(p_types, 1) as s (n)
    left join unnest(p_event_ids, p_streams) with ordinality as g (id, stream, n) on g.stream = s.n
    left join added a on a.event_id = g.id
   group by s.n
   order by s.n;
end
$function$;
{{ template "shared/own.sql" (list "phantom_append" $log "append_many") }}
{{ end }}
---- create above / drop below ----

drop function inference.append_many;
drop function lifecycle.append_many;
