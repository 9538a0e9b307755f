package eventstore_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantom/internal/pgtest"
)

const catalogueFile = "testdata/catalogue.txt"

// catalogueQuery lists what a role of ours could touch, a line each. The owner's login is called owner: a stack names it
// as it likes. What has no grants of its own has its owner's alone. Logins are no part of a migration, so grants to
// them are not ours to list.
const catalogueQuery = `
with ours as (select oid, nspname as schema from pg_namespace where nspname in ('lifecycle', 'inference', 'keyring', 'phantom')),
role as (select oid, case rolname when $1 then 'owner' else rolname end as name from pg_roles
         union all select 0, 'public'),
line as (
  select 'schema ' || o.schema || ' grants ' || g.name || ' ' || string_agg(a.privilege_type, ',' order by a.privilege_type) as text
    from ours o join pg_namespace n on n.oid = o.oid cross join lateral aclexplode(n.nspacl) a join role g on g.oid = a.grantee
   group by o.schema, g.name
  union all
  select case c.relkind when 'p' then 'partitioned' when 'r' then case when c.relispartition then 'partition' else 'table' end
                        when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' else c.relkind::text end
         || ' ' || o.schema || '.' || c.relname || ' owner=' || r.name
         || ' rls=' || case when c.relforcerowsecurity and c.relrowsecurity then 'forced' when c.relrowsecurity then 'on' else 'off' end
         || coalesce(' triggers=' || (select string_agg(t.tgname || '(' || t.tgenabled::text || ')', ',' order by t.tgname)
                                        from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal), '')
    from ours o join pg_class c on c.relnamespace = o.oid join role r on r.oid = c.relowner
   where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  union all
  select 'grant ' || o.schema || '.' || c.relname || ' ' || g.name || ' ' || string_agg(a.privilege_type, ',' order by a.privilege_type)
    from ours o join pg_class c on c.relnamespace = o.oid cross join lateral aclexplode(c.relacl) a join role g on g.oid = a.grantee
   where g.name <> 'owner' and c.relkind <> 'i' group by o.schema, c.relname, g.name
  union all
  select 'grant ' || o.schema || '.' || c.relname || '(' || t.attname || ') ' || g.name || ' ' || string_agg(a.privilege_type, ',' order by a.privilege_type)
    from ours o join pg_class c on c.relnamespace = o.oid join pg_attribute t on t.attrelid = c.oid
   cross join lateral aclexplode(t.attacl) a join role g on g.oid = a.grantee
   group by o.schema, c.relname, t.attname, g.name
  union all
  select 'policy ' || o.schema || '.' || c.relname || ' ' || p.polname || case when p.polpermissive then '' else ' restrictive' end
         || ' for ' || case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end
         || ' to ' || (select string_agg(r.name, ',' order by r.name) from role r where r.oid = any (p.polroles))
         || coalesce(' using ' || pg_get_expr(p.polqual, p.polrelid), '') || coalesce(' check ' || pg_get_expr(p.polwithcheck, p.polrelid), '')
    from ours o join pg_class c on c.relnamespace = o.oid join pg_policy p on p.polrelid = c.oid
  union all
  select 'function ' || o.schema || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ') owner=' || r.name
         || ' security=' || case when p.prosecdef then 'definer' else 'invoker' end
         || ' callers=' || coalesce((select string_agg(g.name, ',' order by g.name) from aclexplode(p.proacl) a join role g on g.oid = a.grantee
                                      where a.grantee <> p.proowner), case when p.proacl is null then 'public' else 'nobody' end)
         || coalesce(' set ' || array_to_string(p.proconfig, '; '), '')
    from ours o join pg_proc p on p.pronamespace = o.oid join role r on r.oid = p.proowner
)
select text from line order by text collate "C"`

// TestTheSurfaceIsReviewed lists every table, partition, policy, grant and function. After a migration that changes it:
//
//	bin/phantom-dev test -- go test ./eventstore -run TestTheSurfaceIsReviewed -rewrite
//
// and the diff of the file is reviewed.
func TestTheSurfaceIsReviewed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	lines := names(t, pgtest.Pool(t, db.AdminURL), catalogueQuery, login(t, db.OwnerURL))
	require.Greater(t, len(lines), 100)
	found := strings.Join(lines, "\n") + "\n"
	if flag.Lookup("rewrite").Value.String() == "true" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(catalogueFile, []byte(found), 0o600))
	}
	reviewed, err := os.ReadFile(catalogueFile)
	require.NoError(t, err)
	require.Equal(t, string(reviewed), found, "see the comment of this test")
}
