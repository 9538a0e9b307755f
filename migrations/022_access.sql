-- API keys, and the trail of what was done with them. A request names a key before its tenant is known, so one function
-- of a role of its own finds a key whoever's it is; everything else happens within the tenant.
--
-- phantom_access finds keys and writes what the requests left behind. It is cluster-wide, as the roles of the first step.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'phantom_access') then
    begin
      create role phantom_access nologin;
    exception when duplicate_object or unique_violation then
      null; -- another database of the cluster is being migrated at this moment
    end;
  end if;
end
$$;
grant usage on schema phantom to phantom_access;

create table phantom.api_key (
  tenant_id     text collate "C" not null,
  key_id        text collate "C" not null, -- the part of the key that may be shown
  name          text not null,             -- the subject of what is done with it
  role          text collate "C" not null,
  -- Of the secret part, which is 256 random bits: nobody can try them all, so a slow password hash would protect nothing.
  secret_sha256 bytea not null,
  created_at    timestamptz not null default clock_timestamp(),
  created_by    text not null,
  expires_at    timestamptz,
  revoked_at    timestamptz,
  revoked_by    text,
  last_used_at  timestamptz, -- written behind the requests, so some seconds late
  constraint api_key_pk primary key (tenant_id, key_id),
  -- The way from a request to its tenant.
  constraint api_key_id_key unique (key_id),
  constraint api_key_role_known check (role in ('viewer', 'trainer', 'deployer', 'approver', 'admin')),
  constraint api_key_secret_whole check (octet_length(secret_sha256) = 32),
  constraint api_key_revoked_whole check ((revoked_at is null) = (revoked_by is null))
);
{{ template "shared/isolate.sql" "phantom.api_key" }}
{{ template "shared/tenant_policy.sql" "phantom.api_key" }}
create policy serving_makes_its_tenants on phantom.api_key for insert to phantom_serving
  with check (tenant_id = nullif(current_setting('phantom.tenant', true), ''));
create policy serving_revokes_its_tenants on phantom.api_key for update to phantom_serving
  using (tenant_id = nullif(current_setting('phantom.tenant', true), ''))
  with check (tenant_id = nullif(current_setting('phantom.tenant', true), ''));
create policy access_reads on phantom.api_key for select to phantom_access using (true);
create policy access_notes_use on phantom.api_key for update to phantom_access using (true) with check (true);
revoke all on phantom.api_key from public;
-- A list never shows the hash, and what a key may do never changes: another key is made.
grant select (tenant_id, key_id, name, role, created_at, created_by, expires_at, revoked_at, revoked_by, last_used_at),
      insert (tenant_id, key_id, name, role, secret_sha256, created_by, expires_at),
      update (revoked_at, revoked_by) on phantom.api_key to phantom_serving;
grant select, update (last_used_at) on phantom.api_key to phantom_access;

-- The trail. A change of a key and its line here are one transaction; refusals come in behind, those alike counted in one
-- line.
create table phantom.access_event (
  tenant_id   text collate "C" not null,
  event_id    uuid not null, -- version 7: in the order of time
  kind        text collate "C" not null,
  key_id      text collate "C" not null,
  done_by     text not null,             -- who did it; of a refusal, the name of the key
  operation   text collate "C" not null, -- of a refusal: what was refused, else empty
  reason      text not null,
  count       bigint not null default 1, -- refusals alike since the last line about them
  recorded_at timestamptz not null default clock_timestamp(),
  constraint access_event_pk primary key (tenant_id, event_id),
  constraint access_event_kind_known check (kind in ('key_created', 'key_revoked', 'access_denied')),
  constraint access_event_counts check (count > 0)
);
{{ template "shared/isolate.sql" "phantom.access_event" }}
{{ template "shared/immutable.sql" "phantom.access_event" }}
{{ template "shared/tenant_policy.sql" "phantom.access_event" }}
create policy serving_adds_its_tenants on phantom.access_event for insert to phantom_serving
  with check (tenant_id = nullif(current_setting('phantom.tenant', true), ''));
create policy access_adds on phantom.access_event for insert to phantom_access with check (true);
revoke all on phantom.access_event from public;
grant select, insert on phantom.access_event to phantom_serving;
grant insert on phantom.access_event to phantom_access;

-- access_find_key tells whose key it is. It is found by its id alone; the caller holds the secret against the hash.
create function phantom.access_find_key(p_key_id text)
returns table (tenant_id text, key_id text, name text, role text, secret_sha256 bytea, expires_at timestamptz, revoked_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $function$
  select k.tenant_id, k.key_id, k.name, k.role, k.secret_sha256, k.expires_at, k.revoked_at
    from phantom.api_key k where k.key_id = p_key_id;
$function$;
{{ template "shared/own.sql" (list "phantom_access" "phantom" "access_find_key") }}

-- access_note writes when keys were used last, and what was refused to them: for many tenants in one call. A key that is
-- locked is left for the next call's later time.
create function phantom.access_note(p_used text[], p_used_at timestamptz[], p_event_ids uuid[], p_keys text[],
  p_operations text[], p_reasons text[], p_counts bigint[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  update phantom.api_key k set last_used_at = u.at
    from (select f.key_id, f.tenant_id, n.at
            from unnest(p_used, p_used_at) n (key_id, at)
            join phantom.api_key f on f.key_id = n.key_id
           where f.last_used_at is null or f.last_used_at < n.at
           order by f.tenant_id, f.key_id
             for no key update of f skip locked) u
   where k.tenant_id = u.tenant_id and k.key_id = u.key_id;
  insert into phantom.access_event (tenant_id, event_id, kind, key_id, done_by, operation, reason, count)
  select k.tenant_id, d.event_id, 'access_denied', k.key_id, k.name, d.operation, d.reason, d.count
    from unnest(p_event_ids, p_keys, p_operations, p_reasons, p_counts) d (event_id, key_id, operation, reason, count)
    join phantom.api_key k on k.key_id = d.key_id;
end
$function$;
{{ template "shared/own.sql" (list "phantom_access" "phantom" "access_note") }}

---- create above / drop below ----

drop function phantom.access_note;
drop function phantom.access_find_key;
drop table phantom.access_event;
drop table phantom.api_key;
revoke usage on schema phantom from phantom_access;
