-- The events. Every key starts with tenant_id, which may be the distribution column of a sharded PostgreSQL.
-- docs/adr/0007-no-partitions.md tells why the table is whole.
{{ range $log := list "lifecycle" "inference" }}
create table {{ $log }}.events (
  tenant_id         text collate "C" not null,
  position          bigint not null,
  event_id          uuid not null,
  aggregate_type    text collate "C" not null,
  aggregate_id      text collate "C" not null,
  aggregate_version bigint not null,
  event_type        text collate "C" not null,
  event_version     integer not null,
  event_data        json not null, -- json, not jsonb: kept byte for byte, the digest covers the bytes
  metadata          json not null,
  occurred_at       timestamptz not null,
  recorded_at       timestamptz not null,
  causation_id      text collate "C",
  correlation_id    text collate "C",
  digest            bytea not null,
  constraint events_pk primary key (tenant_id, aggregate_type, aggregate_id, aggregate_version),
  constraint events_position_key unique (tenant_id, position),
  constraint events_event_id_key unique (tenant_id, event_id),
  constraint events_numbers_check check (position > 0 and aggregate_version > 0 and event_version > 0),
  constraint events_digest_check check (octet_length(digest) = 32)
);

-- Lists of one type in a range of time.
create index events_type_idx on {{ $log }}.events (tenant_id, event_type, occurred_at, position);
-- The trail of one request or saga.
create index events_correlation_idx on {{ $log }}.events (tenant_id, correlation_id) where correlation_id is not null;

{{ template "shared/isolate.sql" (print $log ".events") }}
{{ template "shared/immutable.sql" (print $log ".events") }}

revoke all on {{ $log }}.events from public;
grant select on {{ $log }}.events to phantom_serving, phantom_feed;
grant select, insert on {{ $log }}.events to phantom_append;
{{ template "shared/tenant_policy.sql" (print $log ".events") }}
create policy append_reads on {{ $log }}.events for select to phantom_append using (true);
create policy append_inserts on {{ $log }}.events for insert to phantom_append with check (true);
create policy feed_reads on {{ $log }}.events for select to phantom_feed using (true);
{{ end }}
---- create above / drop below ----

drop table inference.events;
drop table lifecycle.events;
