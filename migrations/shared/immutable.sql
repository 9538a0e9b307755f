{{- /* Refuses every change of a table's rows. ENABLE ALWAYS holds under session_replication_role too. */ -}}
create trigger refuse_change before update or delete or truncate on {{ . }}
  for each statement execute function phantom.refuse_change();
alter table {{ . }} enable always trigger refuse_change;
