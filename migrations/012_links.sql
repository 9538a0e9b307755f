-- The chain moves into the events. A link stands in the last event of each append call and log: it covers the link before
-- it and the position, revision, recorded_at and digest of the call's events. An append reads a log's last event anyway,
-- and writes its own: a link there costs neither another row nor another index, as a table of links would
-- (docs/adr/0005-links-in-the-events.md). A log is chained from the first position that a link covers; what was appended
-- before this step is covered by none.
{{ range $log := list "lifecycle" "inference" }}
drop table {{ $log }}.chain;

alter table {{ $log }}.events
  add column link bytea, -- null: a later event of the same call carries it, or the event is older than the chain
  add constraint events_link_check check (octet_length(link) = 32);
{{ end }}
---- create above / drop below ----

{{ range $log := list "lifecycle" "inference" }}
alter table {{ $log }}.events drop column link;
create table {{ $log }}.chain (tenant_id text); -- for the step before, which drops it
{{ end }}
