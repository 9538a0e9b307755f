{{- /* list "role" "log" "signature": hands a function to a role that may not log in. The membership and the right to
create last for this transaction only: phantom_owner is no member of the role afterwards. */ -}}
{{- $role := index . 0 }}{{ $log := index . 1 }}{{ $function := printf "%s.%s" $log (index . 2) -}}
revoke execute on function {{ $function }} from public;
grant execute on function {{ $function }} to phantom_serving;
grant {{ $role }} to current_user;
grant create on schema {{ $log }} to {{ $role }};
alter function {{ $function }} owner to {{ $role }};
revoke create on schema {{ $log }} from {{ $role }};
revoke {{ $role }} from current_user;
