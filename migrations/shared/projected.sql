{{- /* A table that the serving role writes as well, within the tenant that its transaction names. */ -}}
{{ template "shared/isolate.sql" . }}
create policy serving_keeps_its_tenant on {{ . }} to phantom_serving
  using (tenant_id = nullif(current_setting('phantom.tenant', true), ''))
  with check (tenant_id = nullif(current_setting('phantom.tenant', true), ''));
revoke all on {{ . }} from public;
grant select, insert, update, delete on {{ . }} to phantom_serving;
