-- The keys of sealed content, in a schema of their own: `pg_dump --exclude-schema=keyring` gives a backup of the events
-- that nobody can open, `--schema=keyring` one of the keys. docs/secure.md tells what may be kept for how long.
--
-- phantom_keyring owns what destroys keys. It is cluster-wide, as the roles of the first step.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'phantom_keyring') then
    begin
      create role phantom_keyring nologin;
    exception when duplicate_object or unique_violation then
      null; -- another database of the cluster is being migrated at this moment
    end;
  end if;
end
$$;

create schema keyring;
grant usage on schema keyring to phantom_serving, phantom_keyring;

-- Which keys there are and which were destroyed, for ever: a row that is erased is the tombstone that keeps the same
-- key from being made again.
create table keyring.keys (
  tenant_id     text collate "C" not null,
  key_id        uuid not null,
  kind          text collate "C" not null, -- of what the key is: a person, or one UTC day of a model
  name          text collate "C" not null, -- subject_ref or model_id
  day           text collate "C" not null, -- 2006-01-02 of a model, empty of a subject
  created_at    timestamptz not null default clock_timestamp(),
  erased_at     timestamptz,
  erased_by     text,
  erased_reason text,
  constraint keys_pk primary key (tenant_id, key_id),
  -- The first of two processes that make the same key wins.
  constraint keys_scope_key unique (tenant_id, kind, name, day),
  constraint keys_scope_check check (
    (kind = 'subject' and day = '') or (kind = 'model' and day ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$')),
  constraint keys_erased_check check (num_nulls(erased_at, erased_by, erased_reason) in (0, 3))
);
{{ template "shared/isolate.sql" "keyring.keys" }}
create trigger refuse_change before delete or truncate on keyring.keys
  for each statement execute function phantom.refuse_change();
alter table keyring.keys enable always trigger refuse_change;

-- The data keys, wrapped by the key that PHANTOM_KEYS_URL names. PostgreSQL leaves the old version of a row in its file
-- until something else is written over it, and a vacuum does not promise when. So keys lie apart from their tombstones,
-- in small tables that are written anew when one of their keys is destroyed: see keyring.rewrite.
create table keyring.material (
  tenant_id    text collate "C" not null,
  key_id       uuid not null,
  wrapped      bytea not null,
  wrapped_with text not null, -- the name of the wrapping key, to tell what is wrong when it does not unwrap
  constraint material_pk primary key (tenant_id, key_id)
) partition by hash (tenant_id);
{{ template "shared/isolate.sql" "keyring.material" }}
{{ range $i := until 8 }}
create table keyring.material_{{ $i }} partition of keyring.material for values with (modulus 8, remainder {{ $i }});
{{ template "shared/isolate.sql" (printf "keyring.material_%d" $i) }}
revoke all on keyring.material_{{ $i }} from public;
grant select, insert, truncate on keyring.material_{{ $i }} to phantom_keyring;
create policy keyring_rewrites on keyring.material_{{ $i }} to phantom_keyring using (true) with check (true);
{{ end }}

revoke all on keyring.keys, keyring.material from public;
grant select, insert (tenant_id, key_id, kind, name, day) on keyring.keys to phantom_serving;
grant select, insert on keyring.material to phantom_serving;
grant select, insert, update (erased_at, erased_by, erased_reason) on keyring.keys to phantom_keyring;
grant select, delete on keyring.material to phantom_keyring;
{{ range $table := list "keyring.keys" "keyring.material" }}
{{ template "shared/tenant_policy.sql" $table }}
create policy serving_makes_its_tenants on {{ $table }} for insert to phantom_serving
  with check (tenant_id = nullif(current_setting('phantom.tenant', true), ''));
create policy keyring_destroys on {{ $table }} to phantom_keyring using (true) with check (true);
{{ end }}

-- keyring.erase destroys the key of a subject, or those of a model up to a day, and tells every such key, those that
-- were destroyed before too. A subject without a key gets a tombstone all the same. The order of locks is that of whoever
-- makes a key: first keys, then material.
create function keyring.erase(p_tenant text, p_kind text, p_name text, p_through text, p_by text, p_reason text)
returns table (key_id uuid, day text, created_at timestamptz, erased_at timestamptz, erased_by text, erased_reason text,
               destroyed boolean)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
  v_now  timestamptz := clock_timestamp();
  v_gone uuid[];
begin
  -- One at a time: two that destroy the same days could else wait for each other.
  perform pg_advisory_xact_lock(73510012);
  if p_kind = 'subject' then
    insert into keyring.keys as k (tenant_id, key_id, kind, name, day, erased_at, erased_by, erased_reason)
    values (p_tenant, gen_random_uuid(), 'subject', p_name, '', v_now, p_by, p_reason)
    on conflict on constraint keys_scope_key
      do update set erased_at = v_now, erased_by = p_by, erased_reason = p_reason where k.erased_at is null;
  else
    update keyring.keys k set erased_at = v_now, erased_by = p_by, erased_reason = p_reason
     where k.tenant_id = p_tenant and k.kind = p_kind and k.name = p_name and k.day <= p_through and k.erased_at is null;
  end if;
  with gone as (
    delete from keyring.material m using keyring.keys k
     where m.tenant_id = p_tenant and k.tenant_id = m.tenant_id and k.key_id = m.key_id and k.erased_at is not null
    returning m.key_id)
  select coalesce(array_agg(g.key_id), '{}') into v_gone from gone g;
  return query
  select k.key_id, k.day, k.created_at, k.erased_at, k.erased_by, k.erased_reason, k.key_id = any (v_gone)
    from keyring.keys k
   where k.tenant_id = p_tenant and k.kind = p_kind and k.name = p_name and k.erased_at is not null
     and (p_kind = 'subject' or k.day <= p_through)
   order by k.day;
end
$function$;

-- keyring.rewrite writes the tenant's part of the material anew without what was destroyed. TRUNCATE gives the table a
-- new file and removes the old one when it commits, with every row version in it, whoever's snapshot may still see them.
-- Whoever reads a key of a tenant in the same part waits meanwhile.
create function keyring.rewrite(p_tenant text) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_part    text;
  v_tenants text[];
  v_keys    uuid[];
  v_wrapped bytea[];
  v_with    text[];
begin
  -- A snapshot from before the lock would lose the keys that were made meanwhile.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'keyring.rewrite needs READ COMMITTED';
  end if;
  select format('keyring.material_%s', n) into strict v_part from generate_series(0, 7) n
   where satisfies_hash_partition('keyring.material'::regclass, 8, n, p_tenant);
  execute format('lock table %s in access exclusive mode', v_part);
  execute format('select array_agg(m.tenant_id), array_agg(m.key_id), array_agg(m.wrapped), array_agg(m.wrapped_with)
    from %s m where not exists (
      select from keyring.keys k where k.tenant_id = m.tenant_id and k.key_id = m.key_id and k.erased_at is not null)', v_part)
    into v_tenants, v_keys, v_wrapped, v_with;
  execute format('truncate %s', v_part);
  execute format('insert into %s (tenant_id, key_id, wrapped, wrapped_with) select * from unnest($1, $2, $3, $4)', v_part)
    using v_tenants, v_keys, v_wrapped, v_with;
  return coalesce(cardinality(v_keys), 0);
end
$function$;

-- Only the owner of the schema destroys keys: the serving role must not be able to.
{{ range $function := list "erase(text, text, text, text, text, text)" "rewrite(text)" }}
revoke execute on function keyring.{{ $function }} from public;
grant phantom_keyring to current_user;
grant create on schema keyring to phantom_keyring;
alter function keyring.{{ $function }} owner to phantom_keyring;
grant execute on function keyring.{{ $function }} to current_user;
revoke create on schema keyring from phantom_keyring;
revoke phantom_keyring from current_user;
{{ end }}
---- create above / drop below ----

drop function keyring.rewrite(text);
drop function keyring.erase(text, text, text, text, text, text);
drop table keyring.material;
drop table keyring.keys;
drop schema keyring;
