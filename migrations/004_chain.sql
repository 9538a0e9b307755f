-- One link an append call and log: it covers the previous link and the positions, revisions, recorded_at and digests of
-- the call's events. A log is chained from the first position that has a link.
{{ range $log := list "lifecycle" "inference" }}
create table {{ $log }}.chain (
  tenant_id      text collate "C" not null,
  first_position bigint not null, -- of the call's events
  last_position  bigint not null,
  previous_link  bytea, -- null: the chain starts here
  link           bytea not null,
  recorded_at    timestamptz not null,
  constraint chain_pk primary key (tenant_id, first_position),
  constraint chain_positions_check check (first_position > 0 and last_position >= first_position),
  constraint chain_link_check check (octet_length(link) = 32 and octet_length(previous_link) = 32)
);

{{ template "shared/isolate.sql" (print $log ".chain") }}
{{ template "shared/immutable.sql" (print $log ".chain") }}

revoke all on {{ $log }}.chain from public;
grant select on {{ $log }}.chain to phantom_serving, phantom_feed;
grant select, insert on {{ $log }}.chain to phantom_append;
{{ template "shared/tenant_policy.sql" (print $log ".chain") }}
create policy append_reads on {{ $log }}.chain for select to phantom_append using (true);
create policy append_inserts on {{ $log }}.chain for insert to phantom_append with check (true);
create policy feed_reads on {{ $log }}.chain for select to phantom_feed using (true);
{{ end }}
---- create above / drop below ----

drop table inference.chain;
drop table lifecycle.chain;
