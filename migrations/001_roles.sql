-- Roles are cluster-wide and shared by every Phantom database of a cluster, so they may be there already.
-- None can log in. What each may do is granted beside the table or function that it is for:
--   phantom_serving  what a serving login is granted: reads its own tenant, calls the functions
--   phantom_append   owns the append functions: the only one that inserts events
--   phantom_feed     owns the feed functions: reads every tenant
--   phantom_search   owns the search functions, whose operators lose their indexes under row-level security
do $$
declare
  name text;
begin
  foreach name in array array['phantom_serving', 'phantom_append', 'phantom_feed', 'phantom_search'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = name) then
      begin
        execute pg_catalog.format('create role %I nologin', name);
      exception when duplicate_object or unique_violation then
        null; -- another database of the cluster is being migrated at this moment
      end;
    end if;
  end loop;
end
$$;

-- One schema a log: the same tables, one code.
create schema lifecycle;
create schema inference;

grant usage on schema lifecycle, inference, phantom to phantom_serving, phantom_append, phantom_feed, phantom_search;
grant select on phantom.schema_version to phantom_serving;

-- Statement triggers call it: a refusal that no grant and no policy can lift. The owner and superusers meet it too.
create function phantom.refuse_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception '% on %.% is refused: what is recorded is never changed', tg_op, tg_table_schema, tg_table_name
    using errcode = 'restrict_violation';
end
$$;
revoke execute on function phantom.refuse_change() from public;

---- create above / drop below ----

-- The roles stay: other databases of the cluster may use them.
drop function phantom.refuse_change();
revoke select on phantom.schema_version from phantom_serving;
revoke usage on schema phantom from phantom_serving, phantom_append, phantom_feed, phantom_search;
drop schema inference;
drop schema lifecycle;
