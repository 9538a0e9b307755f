package projection

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Questions is what rows depend on: statements of the tenant whose turn it is, and look-ups, which one statement does for all
// tenants of a transaction together.
type Questions struct {
	pgx.Batch // of the tenant, which is set

	lookUps []LookUp
}

// LookUp asks for rows by keys of one tenant.
type LookUp struct {
	// SQL takes tenants ($1), the generation ($2) and keys ($3), one for each tenant, and answers with the tenant before
	// what else it tells: see NamedKeys.
	SQL        string
	Tenant     string
	Generation int
	Keys       []string
	Take       func(pgx.CollectableRow) error // an answer
}

// NamedKeys is, in a LookUp's SQL, the keys that it is given, each as the transaction's tenant: see NamedRows. Its columns are
// tenant and id.
const NamedKeys = `(
	select set_config('phantom.tenant', k.tenant, true) as tenant, k.id
	from unnest($1::text[], $3::text[]) as k (tenant, id)
	offset 0)`

// LookUp queues a look-up; a tenant asks the same of a table once.
func (q *Questions) LookUp(l LookUp) { q.lookUps = append(q.lookUps, l) }

// queueLookUps queues what several tenants look up, a statement for all that is alike.
func queueLookUps(batch *pgx.Batch, all []LookUp) {
	slices.SortStableFunc(all, func(a, b LookUp) int { return cmp.Compare(a.SQL, b.SQL) })
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].SQL == all[0].SQL {
			n++
		}
		queueAlike(batch, all[:n])
		all = all[n:]
	}
}

func queueAlike(batch *pgx.Batch, alike []LookUp) {
	var tenants, keys []string
	take := make(map[string]func(pgx.CollectableRow) error, len(alike))
	for _, l := range alike {
		take[l.Tenant] = l.Take
		for _, key := range l.Keys {
			tenants, keys = append(tenants, l.Tenant), append(keys, key)
		}
	}
	batch.Queue(alike[0].SQL, tenants, alike[0].Generation, keys).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			tenant := string(rows.RawValues()[0])
			if take[tenant] == nil {
				return fmt.Errorf("a look-up answers about tenant %q, who did not ask", tenant)
			}
			if err := take[tenant](rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}
