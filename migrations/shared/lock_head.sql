  -- The head row is the only lock. It is a statement of its own and the first one, so that what follows sees what the
  -- last holder committed. Under READ COMMITTED two first appends of a tenant queue on the insert.
  select h.first_position into v_next from {{ . }}.heads h where h.tenant_id = p_tenant for no key update;
  if not found then
    insert into {{ . }}.heads (tenant_id) values (p_tenant) on conflict do nothing;
    select h.first_position into v_next from {{ . }}.heads h where h.tenant_id = p_tenant for no key update;
    if not found then
      raise exception 'the head of tenant % in {{ . }} was not locked: the append role needs the policy append_locks', p_tenant;
    end if;
  end if;
