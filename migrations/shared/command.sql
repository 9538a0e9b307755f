  -- A known command is told before any conflict, but not before its own repetition. It is written before the events: its
  -- key may be held by an append to the other log, and then nothing must stand yet.
  if p_command is not null then
    if v_outcome <> 'appended' then
      select c.request_hash into v_hash from phantom.commands c where c.tenant_id = p_tenant and c.command_id = p_command;
      v_known := found;
    end if;
    if v_known and (v_outcome <> 'repeated' or v_hash <> p_request_hash) then
      v_outcome := 'duplicate_command';
    elsif not v_known and v_outcome in ('appended', 'repeated') then
      insert into phantom.commands (tenant_id, command_id, request_hash, result)
      values (p_tenant, p_command, p_request_hash, p_result::json) on conflict do nothing;
      if not found then
        v_outcome := 'duplicate_command';
      end if;
    end if;
  end if;
