-- position_at resolves an instant to a position of the transaction's own tenant: that of the last event that was recorded
-- at or before it. Positions are dense and recorded_at never decreases along them, so it is found by halving.
--
-- Before the last event nothing can change any more. From there on an append may be under way that carries an earlier
-- recorded_at than the instant and is not committed: then the answer is found under the tenant's head lock, and an append
-- that comes after it is recorded later. An instant that the clock has not passed has no answer: log_position is null.
--
-- The block around the lock is always rolled back, so the head is held for no longer than a look takes, although the
-- transaction goes on, and a tenant without events gets no head row from being asked. lock_timeout bounds the wait.
{{ range $log := list "lifecycle" "inference" }}
create function {{ $log }}.position_at(p_at timestamptz, out log_position bigint, out clock timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set lock_timeout = '5s'
as $function$
declare
  v_tenant   text := nullif(current_setting('phantom.tenant', true), '');
  v_first    bigint := 1;
  v_last     bigint;
  v_middle   bigint;
  v_recorded timestamptz;
begin
  if v_tenant is null then
    raise exception 'position_at answers for the tenant of the transaction, and there is none';
  end if;
  select h.first_position into v_first from {{ $log }}.heads h where h.tenant_id = v_tenant;
  select e.position, e.recorded_at into v_last, v_recorded from {{ $log }}.events e
   where e.tenant_id = v_tenant
   order by e.position desc limit 1;
  clock := clock_timestamp();
  if v_recorded is null or v_recorded <= p_at then
    if clock <= p_at then
      return;
    end if;
    begin
      select h.first_position into v_first from {{ $log }}.heads h where h.tenant_id = v_tenant for no key update;
      if not found then
        insert into {{ $log }}.heads (tenant_id) values (v_tenant) on conflict do nothing;
        if not found then -- the tenant's first append held the key until now
          select h.first_position into v_first from {{ $log }}.heads h where h.tenant_id = v_tenant for no key update;
        end if;
      end if;
      select e.position, e.recorded_at into v_last, v_recorded from {{ $log }}.events e
       where e.tenant_id = v_tenant
       order by e.position desc limit 1;
      clock := clock_timestamp();
      raise exception 'the head is given back' using errcode = 'PH001';
    exception when sqlstate 'PH001' then
      null; -- what was read is kept: variables are not rolled back
    end;
    if clock <= p_at then -- it was set back meanwhile
      return;
    end if;
  end if;

  v_first := coalesce(v_first, 1) - 1;
  log_position := coalesce(v_last, v_first);
  if v_recorded is null or v_recorded <= p_at then
    return;
  end if;
  -- Invariant: what stands at v_first was recorded by then, or nothing stands there; what stands at log_position was not.
  while v_first + 1 < log_position loop
    v_middle := (v_first + log_position) / 2;
    select e.recorded_at into v_recorded from {{ $log }}.events e where e.tenant_id = v_tenant and e.position = v_middle;
    if v_recorded <= p_at then
      v_first := v_middle;
    else
      log_position := v_middle;
    end if;
  end loop;
  log_position := v_first;
end
$function$;
{{ template "shared/own.sql" (list "phantom_append" $log "position_at") }}
{{ end }}
---- create above / drop below ----

drop function inference.position_at;
drop function lifecycle.position_at;
