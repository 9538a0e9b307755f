-- One row a tenant and log. It is locked by every append and updated by none: a row that is updated on every append
-- slows down while any old snapshot is open.
{{ range $log := list "lifecycle" "inference" }}
create table {{ $log }}.heads (
  tenant_id      text collate "C" not null,
  first_position bigint not null default 1, -- the log begins here; what lies before was cut below an anchor
  created_at     timestamptz not null default clock_timestamp(),
  constraint heads_pk primary key (tenant_id),
  constraint heads_first_position_check check (first_position > 0)
);
{{ template "shared/isolate.sql" (print $log ".heads") }}

revoke all on {{ $log }}.heads from public;
grant select on {{ $log }}.heads to phantom_serving, phantom_feed;
-- A row lock needs the grant and the policy of an update; the policy's check lets no update through.
grant select, insert, update (tenant_id) on {{ $log }}.heads to phantom_append;
{{ template "shared/tenant_policy.sql" (print $log ".heads") }}
create policy append_reads on {{ $log }}.heads for select to phantom_append using (true);
create policy append_inserts on {{ $log }}.heads for insert to phantom_append with check (true);
create policy append_locks on {{ $log }}.heads for update to phantom_append using (true) with check (false);
create policy feed_reads on {{ $log }}.heads for select to phantom_feed using (true);
{{ end }}
---- create above / drop below ----

drop table inference.heads;
drop table lifecycle.heads;
