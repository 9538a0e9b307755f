{{- /* The serving role sees the tenant that its transaction names: no setting, no rows. */ -}}
create policy serving_reads_its_tenant on {{ . }} for select to phantom_serving
  using (tenant_id = nullif(current_setting('phantom.tenant', true), ''));
