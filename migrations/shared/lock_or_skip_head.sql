{{- /* list "log" "how to return" */ -}}
{{- $log := index . 0 }}
  -- The head row is the only lock. It is a statement of its own and the first one, so that what follows sees what the
  -- last holder committed. Who must not wait skips a head that somebody else holds, and hears that it is busy. Under READ
  -- COMMITTED two first appends of a tenant queue on the insert.
  if p_wait > 0 then
    perform set_config('lock_timeout', p_wait::text, true);
    select h.first_position into v_next from {{ $log }}.heads h where h.tenant_id = p_tenant for no key update;
  else
    select h.first_position into v_next from {{ $log }}.heads h where h.tenant_id = p_tenant for no key update skip locked;
  end if;
  if not found then
    perform set_config('lock_timeout', greatest(p_wait, 100)::text, true);
    insert into {{ $log }}.heads (tenant_id) values (p_tenant) on conflict do nothing;
    if not found and p_wait = 0 then
      outcome := 'busy';
      {{ index . 1 }}
    end if;
    select h.first_position into v_next from {{ $log }}.heads h where h.tenant_id = p_tenant for no key update;
    if not found then
      raise exception 'the head of tenant % in {{ $log }} was not locked: the append role needs the policy append_locks', p_tenant;
    end if;
  end if;
