package eventstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// schemaStep is the migration that this package needs at least.
const schemaStep = 19

// ErrRole says that a login would see more than its tenant, or may not serve at all.
var ErrRole = errors.New("the login may not serve")

// ErrSchema says that the database lacks the tables or functions of this package.
var ErrSchema = errors.New("the schema is behind")

// CheckRole returns ErrRole for a login that row-level security does not hold (SUPERUSER, BYPASSRLS, a member of a role
// that sees every tenant) or that lacks phantom_serving, and ErrSchema for a database that was not migrated far enough,
// each with the command to run.
func CheckRole(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := checkLogin(ctx, pool); err != nil {
		return err
	}
	const query = `select version from phantom.schema_version`
	var step int
	err := pool.QueryRow(ctx, query).Scan(&step)
	const undefinedTable, permissionDenied = "42P01", "42501"
	var refused *pgconn.PgError
	missing := errors.As(err, &refused) && (refused.Code == undefinedTable || refused.Code == permissionDenied)
	if err != nil && !missing {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if step < schemaStep {
		return fmt.Errorf("%w: step %d, this program needs %d; run: PHANTOM_MIGRATE_URL=<the owner's URL> phantom-worker migrate up",
			ErrSchema, step, schemaStep)
	}
	return nil
}

func checkLogin(ctx context.Context, pool *pgxpool.Pool) error {
	const query = `select r.rolname, r.rolsuper, r.rolbypassrls,
		exists (select from pg_roles s where s.rolname = 'phantom_serving'),
		exists (select from pg_roles s where s.rolname = 'phantom_serving' and pg_has_role(r.oid, s.oid, 'usage')),
		array(select s.rolname::text from pg_roles s where s.rolname in ('phantom_append', 'phantom_feed', 'phantom_search', 'phantom_prune', 'phantom_keyring')
			and pg_has_role(r.oid, s.oid, 'member') order by 1)
		from pg_roles r where r.rolname = current_user`
	var (
		login                              string
		super, bypass, migrated, isServing bool
		wide                               []string
	)
	err := pool.QueryRow(ctx, query).Scan(&login, &super, &bypass, &migrated, &isServing, &wide)
	switch {
	case err != nil:
		return fmt.Errorf("read what the login of DATABASE_URL may do: %w", err)
	case super, bypass:
		return fmt.Errorf("%w: %q is SUPERUSER or BYPASSRLS and would see every tenant; name a plain login in DATABASE_URL, made with: "+
			"CREATE ROLE phantom LOGIN PASSWORD '…'; GRANT phantom_serving TO phantom", ErrRole, login)
	case len(wide) > 0:
		return fmt.Errorf("%w: %q is a member of %v, which see every tenant; run: REVOKE %s FROM %s", ErrRole, login, wide, wide[0], login)
	case migrated && !isServing:
		return fmt.Errorf("%w: %q lacks a role; run as the owner: GRANT phantom_serving TO %s", ErrRole, login, login)
	}
	return nil
}
