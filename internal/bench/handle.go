package main

import (
	"context"
	"fmt"

	"phantom/domain"
	"phantom/registry"
)

// modelsEach is how many models a client of handleRow changes in turn: their streams then stay short.
const modelsEach = 50

// handleRow measures a whole command: load, decide, append with the command's record.
func handleRow(ctx context.Context, l *lab, w *world) error {
	const clients = 16
	handler := registry.New(w.store)
	meta := domain.Meta{Actor: domain.Actor{Subject: "bench", Auth: domain.AuthLocal}, CorrelationID: correlation}
	of := func(client, n int) (domain.Tenant, domain.ModelID) {
		return domain.Tenant(tenant("own", (client*modelsEach+n)%l.options.tenants)), domain.ModelID(fmt.Sprintf("m%d-%d", client, n))
	}
	for client := range clients {
		for n := range modelsEach {
			to, model := of(client, n)
			create := domain.CreateModel{ModelID: model, Name: "Digits", ModelType: "classifier", Algorithm: "mlp"}
			if _, err := handler.Handle(ctx, to, create, meta); err != nil {
				return fmt.Errorf("create the models: %w", err)
			}
		}
	}
	turns := make([]int, clients)
	ours := task(func(ctx context.Context, client int) error {
		turns[client]++
		to, model := of(client, turns[client]%modelsEach)
		description := fmt.Sprintf("change %d", turns[client])
		_, err := handler.Handle(ctx, to, domain.UpdateModelMetadata{ModelID: model, Description: &description}, meta)
		return err
	})
	r := row{Name: "registry.Handle of UpdateModelMetadata, 16 clients", Against: oneInsert, Note: "no floor"}
	theirs := w.inserting(clients, l.options.tenants, &numbers{}, anywhere)
	return l.compare(ctx, r, ours.over(clients, 1), theirs.over(clients, 1))
}
