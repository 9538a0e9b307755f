package sealing

import (
	"container/list"
	"sync"
	"time"

	"phantom/domain"
)

// cache holds keys for their lifetime, the least used ones leave first. Its lifetime counts from before a
// key was read, so no process takes a key for alive longer than that after it was destroyed.
type cache struct {
	params Params

	mu     sync.Mutex
	scopes map[inTenant[Scope]]*list.Element
	ids    map[inTenant[string]]*list.Element
	used   *list.List // of *held, most recently used first
}

type inTenant[K comparable] struct {
	tenant domain.Tenant
	key    K
}

type held struct {
	tenant domain.Tenant
	key    *key
	until  time.Time
}

func newCache(params Params) *cache {
	return &cache{
		params: params, used: list.New(),
		scopes: map[inTenant[Scope]]*list.Element{}, ids: map[inTenant[string]]*list.Element{},
	}
}

func (c *cache) byScope(tenant domain.Tenant, scope Scope) *key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alive(c.scopes[inTenant[Scope]{tenant, scope}])
}

func (c *cache) byID(tenant domain.Tenant, id string) *key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alive(c.ids[inTenant[string]{tenant, id}])
}

func (c *cache) alive(element *list.Element) *key {
	if element == nil {
		return nil
	}
	one := element.Value.(*held)
	if !c.params.Now().Before(one.until) {
		c.drop(element)
		return nil
	}
	c.used.MoveToFront(element)
	return one.key
}

// put remembers a key that was read from the database after asked.
func (c *cache) put(tenant domain.Tenant, k *key, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := asked.Add(c.params.Lifetime)
	if !c.params.Now().Before(until) {
		return
	}
	if before := c.ids[inTenant[string]{tenant, k.id}]; before != nil {
		// Of two that read at once the one that knows of the erase stays.
		if one := before.Value.(*held); one.key.erased && !k.erased {
			return
		}
		c.drop(before)
	}
	element := c.used.PushFront(&held{tenant: tenant, key: k, until: until})
	c.scopes[inTenant[Scope]{tenant, k.scope}] = element
	c.ids[inTenant[string]{tenant, k.id}] = element
	for c.used.Len() > c.params.Most {
		c.drop(c.used.Back())
	}
}

func (c *cache) drop(element *list.Element) {
	one := c.used.Remove(element).(*held)
	delete(c.ids, inTenant[string]{one.tenant, one.key.id})
	delete(c.scopes, inTenant[Scope]{one.tenant, one.key.scope})
}
