-- Folded states at revisions, many a stream. A snapshot is a shortcut and never the truth: one whose fingerprint is not
-- that of the reader's state is passed over, and all of them may be removed.
{{ range $log := list "lifecycle" "inference" }}
create table {{ $log }}.snapshots (
  tenant_id         text collate "C" not null,
  aggregate_type    text collate "C" not null,
  aggregate_id      text collate "C" not null,
  fingerprint       text collate "C" not null, -- of the state's schema
  aggregate_version bigint not null, -- the last event that the state has in it
  position          bigint not null, -- of that event
  state             json not null,
  created_at        timestamptz not null default clock_timestamp(),
  -- The fingerprint comes before the revision: two releases that run side by side each find their newest.
  constraint snapshots_pk primary key (tenant_id, aggregate_type, aggregate_id, fingerprint, aggregate_version),
  constraint snapshots_numbers_check check (aggregate_version > 0 and position > 0)
);

{{ template "shared/isolate.sql" (print $log ".snapshots") }}

revoke all on {{ $log }}.snapshots from public;
grant select, insert, delete on {{ $log }}.snapshots to phantom_serving;
create policy serving_keeps_its_tenant on {{ $log }}.snapshots for all to phantom_serving
  using (tenant_id = nullif(current_setting('phantom.tenant', true), ''))
  with check (tenant_id = nullif(current_setting('phantom.tenant', true), ''));
{{ end }}
---- create above / drop below ----

drop table inference.snapshots;
drop table lifecycle.snapshots;
