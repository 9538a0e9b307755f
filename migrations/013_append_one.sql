-- append_one appends to one stream, or guards it when there are no events. It answers with one row and raises for
-- nothing that a caller can cause:
--   appended           revision and position of the stream's last event, and when the events were recorded
--   repeated           the events stand there, in this order, one after the other: their first result
--   wrong_version      the stream is at another revision (given), or only some of the events stand there
--   duplicate_event    an event id stands in another stream
--   duplicate_command  the command id is known
--   busy               somebody else holds the tenant's head, and the caller did not want to wait
-- The expectation is a range of revisions. Besides what step 7 did it writes the link, and need not wait for the head.
--
-- An expectation of one revision that holds speaks for the events too: had this call appended them before, the stream would
-- have moved. So they are not looked up, which would cost as much as a third of writing them. An id that stands somewhere
-- all the same is refused by its key, events_event_id_key, or its command is known, and append_many tells what is the matter.
--
-- Plans must not depend on what the tables held when they were made: see step 7. An id is looked up as the first one that is
-- not smaller: the order can only come from the index on it. An equality was planned on an empty table as a scan of all of
-- the tenant's events by another index, since there every index costs the same, and that plan is kept.
drop function lifecycle.append_one;
drop function inference.append_one;
{{ range $log := list "lifecycle" "inference" }}
create function {{ $log }}.append_one(
  p_wait integer, p_tenant text, p_type text, p_id text, p_at_least bigint, p_at_most bigint,
  p_event_ids uuid[], p_event_types text[], p_event_versions integer[], p_event_data text[], p_metadata text[],
  p_occurred timestamptz[], p_causation text[], p_correlation text[], p_digests bytea[],
  p_command text, p_request_hash bytea, p_result text,
  out outcome text, out stream_revision bigint, out log_position bigint, out recorded timestamptz
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
as $function$
declare
  v_given   bigint := cardinality(p_event_ids);
  v_next    bigint;
  v_now     timestamptz;
  v_link    bytea;
  v_found   record;
  v_outcome text := 'appended';
  v_known   boolean := false;
  v_hash    bytea;
begin
{{ template "shared/lock_or_skip_head.sql" (list $log "return;") }}
  select coalesce(s.aggregate_version, 0), coalesce(s.position, 0), coalesce(l.position + 1, v_next),
         greatest(clock_timestamp(), l.recorded_at), coalesce(l.link, {{ template "shared/first_link.sql" (list $log "p_tenant") }})
    into stream_revision, log_position, v_next, v_now, v_link
    from (values (1)) as one
    left join lateral (
      select e.aggregate_version, e.position from {{ $log }}.events e
       where e.tenant_id = p_tenant and e.aggregate_type = p_type and e.aggregate_id = p_id
       order by e.aggregate_version desc limit 1) s on true
    left join lateral (
      select e.position, e.recorded_at, e.link from {{ $log }}.events e
       where e.tenant_id = p_tenant
       order by e.position desc limit 1) l on true;

  if p_at_least < p_at_most or stream_revision <> p_at_least then
    select count(*) as everywhere, count(*) filter (where k.aggregate_type = p_type and k.aggregate_id = p_id) as here,
           min(k.aggregate_version - e.n) = max(k.aggregate_version - e.n) as in_order,
           max(k.aggregate_version) as revision, max(k.position) as position, max(k.recorded_at) as recorded
      into v_found
      from unnest(p_event_ids) with ordinality as e (id, n)
      cross join lateral (
        select * from {{ $log }}.events k where k.tenant_id = p_tenant and k.event_id >= e.id
         order by k.event_id limit 1) k
     where k.event_id = e.id;
    if v_found.everywhere = 0 then
      v_outcome := case when stream_revision between p_at_least and p_at_most then 'appended' else 'wrong_version' end;
    elsif v_found.here < v_found.everywhere then
      v_outcome := 'duplicate_event';
    elsif v_found.here = v_given and v_found.in_order then
      v_outcome := 'repeated';
      stream_revision := v_found.revision;
      log_position := v_found.position;
      recorded := v_found.recorded;
    else
      v_outcome := 'wrong_version';
    end if;
  end if;

{{ template "shared/command.sql" $log }}
  outcome := v_outcome;
  if v_outcome <> 'appended' or v_given = 0 then
    return;
  end if;

  if v_given = 1 then -- the common case, without the cost of a set
    insert into {{ $log }}.events ({{ template "shared/event_columns.sql" }})
    values (
      p_tenant, v_next, p_event_ids[1], p_type, p_id, stream_revision + 1, p_event_types[1], p_event_versions[1],
      p_event_data[1]::json, p_metadata[1]::json, p_occurred[1], v_now, p_causation[1], p_correlation[1], p_digests[1],
      sha256(v_link || {{ template "shared/link.sql" (list "v_next" "(stream_revision + 1)" "v_now" "p_digests[1]") }}));
  else
    v_link := sha256(v_link || (
      select string_agg({{ template "shared/link.sql" (list "(v_next + d.n - 1)" "(stream_revision + d.n)" "v_now" "d.digest") }}, '' order by d.n)
        from unnest(p_digests) with ordinality as d (digest, n)));
    insert into {{ $log }}.events ({{ template "shared/event_columns.sql" }})
    select p_tenant, v_next + e.n - 1, e.id, p_type, p_id, stream_revision + e.n, e.type, e.version,
           e.data::json, e.metadata::json, e.occurred, v_now, e.causation, e.correlation, e.digest,
           case when e.n = v_given then v_link end
      from unnest(p_event_ids, p_event_types, p_event_versions, p_event_data, p_metadata, p_occurred, p_causation,
                  p_correlation, p_digests)
           with ordinality as e (id, type, version, data, metadata, occurred, causation, correlation, digest, n);
  end if;
  stream_revision := stream_revision + v_given;
  log_position := v_next + v_given - 1;
  recorded := v_now;
end
$function$;
{{ template "shared/own.sql" (list "phantom_append" $log "append_one") }}
{{ end }}
---- create above / drop below ----

drop function inference.append_one;
drop function lifecycle.append_one;
