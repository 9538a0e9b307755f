-- command_once remembers a command that appends nothing, in the transaction of what it does. It answers with null, or with
-- the hash of the request that was the first of that name: then what it did stands, and nothing is to be done. Who asks
-- while the first one is under way waits for it.
create function phantom.command_once(p_tenant text, p_command text, p_request_hash bytea) returns bytea
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  insert into phantom.commands (tenant_id, command_id, request_hash, result)
  values (p_tenant, p_command, p_request_hash, 'null') on conflict on constraint commands_pk do nothing;
  if found then
    return null;
  end if;
  return (select c.request_hash from phantom.commands c where c.tenant_id = p_tenant and c.command_id = p_command);
end
$function$;
{{ template "shared/own.sql" (list "phantom_append" "phantom" "command_once") }}

---- create above / drop below ----

drop function phantom.command_once;
