-- Sagas as the events tell of them, a row for each run: Temporal forgets those that have ended. kind and model come from the
-- first event of a run; outcome from the event that ended it.
create table phantom.saga (
  tenant_id        text collate "C" not null,
  generation       integer not null,
  saga_id          text collate "C" not null,
  run_id           text collate "C" not null,
  from_position    bigint not null,
  to_position      bigint,
  kind             text collate "C" not null,
  model_id         text collate "C" not null,
  target           text collate "C" not null,
  version          text collate "C",
  state            text collate "C" not null,
  outcome          text collate "C" not null,
  started_position bigint not null,
  started_at       timestamptz not null,
  started_by       jsonb not null,
  ended_at         timestamptz,
  constraint saga_pkey primary key (tenant_id, generation, saga_id, run_id, from_position),
  constraint saga_lasts check (to_position > from_position),
  constraint saga_state_known check (state in ('running', 'completed', 'failed', 'canceled'))
);

create unique index saga_current on phantom.saga (tenant_id, generation, saga_id, run_id)
  where to_position is null;

-- Lists, newest first, of the tenant and of a model.
create index saga_by_start on phantom.saga (tenant_id, generation, started_at, saga_id, run_id)
  where to_position is null;
create index saga_by_model_start on phantom.saga (tenant_id, generation, model_id, started_at, saga_id, run_id)
  where to_position is null;
{{ template "shared/projected.sql" "phantom.saga" }}

---- create above / drop below ----

drop table phantom.saga;
