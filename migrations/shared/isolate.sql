{{- /* Row-level security that holds for the table's owner too. Without a policy nobody sees a row. */ -}}
alter table {{ . }} enable row level security, force row level security;
