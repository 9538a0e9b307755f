// Package readmodel answers questions about models: catalogue, versions, trainings, deployments,
// rollouts, aliases, approvals and events.
//
// What it promises: every row was written by a projection of the event log and by nothing else, so a
// rebuild gives the same rows. Rows that can be asked "as of" a position are history rows
// (from_position, to_position; the open one is current), one for each event that changed them, so an
// answer as of a position never depends on how events were batched. A tenant sees its own rows only:
// row-level security holds for every statement. Lists have exact has_more and cursors that survive
// inserts.
//
// What it does not: nobody decides by it (decisions load the aggregate), and it may lag behind the log;
// projection.Runner.WaitFor tells when it has seen a position. Times are those of the events'
// occurred_at.
//
// The questions, all methods of Reader (NewReader(pool)), each for one tenant:
//
//	GetModel(ctx, tenant, id, asOf) (Model, error)
//	ListModels(ctx, tenant, ModelFilter, Paging) (Page[Model], error)
//	SearchModels(ctx, tenant, text, Paging) (Hits, error)
//	GetVersion(ctx, tenant, id, version, asOf) (Version, error)
//	ListVersions(ctx, tenant, id, asOf, Paging) (Page[Version], error)
//	GetLineage(ctx, tenant, id, version, asOf) (Lineage, error)
//	GetTraining(ctx, tenant, job, asOf) (Training, error)
//	ListTrainings(ctx, tenant, TrainingFilter, Paging) (Page[Training], error)
//	TrainingCurves(ctx, tenant, job, maxPoints) ([]Curve, error)
//	ListDeployments(ctx, tenant, DeploymentFilter, Paging) (Page[Deployment], error)
//	GetRollout(ctx, tenant, rollout, asOf) (Rollout, error)
//	ListRollouts(ctx, tenant, RolloutFilter, Paging) (Page[Rollout], error)
//	GetAlias(ctx, tenant, id, alias, asOf) (Alias, error)
//	ListAliases(ctx, tenant, id, asOf, Paging) (Page[Alias], error)
//	GetAnalytics(ctx, tenant, id, AnalyticsFilter) (Analytics, error)
//	HasArtifact(ctx, tenant, digest) (bool, error)
//	ApprovalsWaiting(ctx, tenant, Paging) (Page[WaitingApproval], error)
//	GetSaga(ctx, tenant, id) (Saga, error)
//	ListSagas(ctx, tenant, SagaFilter, Paging) (Page[Saga], error)
//	ListEvents(ctx, tenant, EventFilter, limit) (EventPage, error)
//
// What is not there is a *domain.NotFound; a bad limit or cursor is a *domain.InvalidInput.
package readmodel
