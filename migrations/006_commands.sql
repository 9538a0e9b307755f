-- The commands that were handled, those without events too. Written by the append functions in the transaction of the
-- events, so a command is known exactly when its events are.
create table phantom.commands (
  tenant_id    text collate "C" not null,
  command_id   text collate "C" not null,
  request_hash bytea not null, -- the same id with another hash is another request: a conflict
  result       json not null,
  created_at   timestamptz not null default clock_timestamp(),
  constraint commands_pk primary key (tenant_id, command_id)
);

{{ template "shared/isolate.sql" "phantom.commands" }}

revoke all on phantom.commands from public;
grant select on phantom.commands to phantom_serving;
grant select, insert on phantom.commands to phantom_append;
{{ template "shared/tenant_policy.sql" "phantom.commands" }}
create policy append_reads on phantom.commands for select to phantom_append using (true);
create policy append_inserts on phantom.commands for insert to phantom_append with check (true);

---- create above / drop below ----

drop table phantom.commands;
