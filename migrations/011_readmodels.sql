-- Read models: tables that answer questions. Written by the projections of package readmodel and by
-- nothing else.
--
-- Every key starts with the tenant and the generation. History rows say what was so from one position
-- of the lifecycle log up to another (to_position, exclusive); the open row (null) is current. The
-- index named …_current makes sure that there is one, and is the way to it.

-- The catalogue. deployed maps a target to its version; running_jobs lists job ids; metrics are those
-- of current_version, the latest registered one. config is kept byte for byte.
create table phantom.model (
  tenant_id           text collate "C" not null,
  generation          integer not null,
  model_id            text collate "C" not null,
  from_position       bigint not null,
  to_position         bigint,
  name                text not null,
  model_type          text not null,
  algorithm           text not null,
  status              text collate "C" not null,
  current_version     text collate "C",
  deployed            jsonb not null,
  running_jobs        jsonb not null,
  completed_trainings bigint not null,
  metrics             jsonb not null,
  accuracy            double precision,
  precision           double precision,
  recall              double precision,
  f1                  double precision,
  tags                jsonb not null,
  description         text not null,
  intended_purpose    text not null,
  config              json,
  versions            bigint not null,
  trainings           bigint not null,
  deployments         bigint not null,
  revision            bigint not null,
  created_at          timestamptz not null,
  created_by          jsonb not null,
  updated_at          timestamptz not null,
  constraint model_pkey primary key (tenant_id, generation, model_id, from_position),
  constraint model_lasts check (to_position > from_position),
  constraint model_status_known check (status in ('created', 'training', 'trained', 'deployed', 'archived', 'deleted'))
);

create unique index model_current on phantom.model (tenant_id, generation, model_id)
  where to_position is null;

-- Lists filtered by status, type or algorithm, in the order of the key.
create index model_by_status on phantom.model (tenant_id, generation, status, model_id)
  where to_position is null;
create index model_by_type on phantom.model (tenant_id, generation, model_type, model_id)
  where to_position is null;
create index model_by_algorithm on phantom.model (tenant_id, generation, algorithm, model_id)
  where to_position is null;
{{ template "shared/projected.sql" "phantom.model" }}

-- Tags again, a row each, because plain equality keeps its index under row-level security and @> on
-- jsonb does not.
create table phantom.model_tag (
  tenant_id     text collate "C" not null,
  generation    integer not null,
  model_id      text collate "C" not null,
  key           text collate "C" not null,
  from_position bigint not null,
  to_position   bigint,
  value         text not null,
  constraint model_tag_pkey primary key (tenant_id, generation, model_id, key, from_position),
  constraint model_tag_lasts check (to_position > from_position)
);

create unique index model_tag_current on phantom.model_tag (tenant_id, generation, model_id, key)
  where to_position is null;

-- Models that carry a tag, in the order of the key.
create index model_tag_by_value on phantom.model_tag (tenant_id, generation, key, value, model_id)
  where to_position is null;
{{ template "shared/projected.sql" "phantom.model_tag" }}

-- Versions; number is the version as a number, for their order.
create table phantom.version (
  tenant_id          text collate "C" not null,
  generation         integer not null,
  model_id           text collate "C" not null,
  version            text collate "C" not null,
  from_position      bigint not null,
  to_position        bigint,
  number             integer not null,
  previous_version   text collate "C",
  artifacts_location text collate "C" not null,
  metrics            jsonb not null,
  signature          jsonb,
  training_job_id    text collate "C",
  modification       text not null,
  created_at         timestamptz not null,
  created_by         jsonb not null,
  deployed_targets   jsonb not null,
  constraint version_pkey primary key (tenant_id, generation, model_id, version, from_position),
  constraint version_lasts check (to_position > from_position)
);

create unique index version_current on phantom.version (tenant_id, generation, model_id, version)
  where to_position is null;

-- Lists, newest first.
create index version_by_number on phantom.version (tenant_id, generation, model_id, number)
  where to_position is null;
{{ template "shared/projected.sql" "phantom.version" }}

-- Training jobs. What an epoch changes stands in training_progress.
create table phantom.training (
  tenant_id          text collate "C" not null,
  generation         integer not null,
  model_id           text collate "C" not null,
  training_job_id    text collate "C" not null,
  from_position      bigint not null,
  to_position        bigint,
  started_position   bigint not null,
  saga_id            text not null,
  state              text collate "C" not null,
  config             jsonb not null,
  datasets           jsonb not null,
  final_metrics      jsonb,
  artifacts_location text collate "C",
  code_digest        text not null,
  duration_ms        bigint,
  evaluation         jsonb,
  approval           jsonb,
  approval_state     text collate "C",
  started_at         timestamptz not null,
  started_by         jsonb not null,
  ended_at           timestamptz,
  version            text collate "C",
  failure_reason     text collate "C",
  error_details      text not null,
  constraint training_pkey primary key (tenant_id, generation, model_id, training_job_id, from_position),
  constraint training_lasts check (to_position > from_position),
  constraint training_state_known check (state in ('running', 'completed', 'failed', 'cancelled'))
);

create unique index training_current on phantom.training (tenant_id, generation, model_id, training_job_id)
  where to_position is null;

-- Lists of the tenant and of a model, newest first; a job by its id alone.
create index training_by_start on phantom.training (tenant_id, generation, started_position)
  where to_position is null;
create index training_by_model_start on phantom.training (tenant_id, generation, model_id, started_position)
  where to_position is null;
create index training_by_job on phantom.training (tenant_id, generation, training_job_id, from_position);

-- Few wait at a time.
create index training_waiting on phantom.training (tenant_id, generation, started_position)
  where to_position is null and approval_state = 'waiting';
{{ template "shared/projected.sql" "phantom.training" }}

-- One row for each reported epoch: the curves of a training.
create table phantom.training_progress (
  tenant_id       text collate "C" not null,
  generation      integer not null,
  model_id        text collate "C" not null,
  training_job_id text collate "C" not null,
  position        bigint not null,
  epoch           bigint not null, -- a trainer counts as it likes
  step            bigint not null,
  percentage      double precision not null,
  metrics         jsonb not null,
  at              timestamptz not null,
  constraint training_progress_pkey primary key (tenant_id, generation, model_id, training_job_id, position)
);
{{ template "shared/projected.sql" "phantom.training_progress" }}

-- Times in which a version serves at a target. A version that comes back is another row, known by the
-- position at which it began.
create table phantom.deployment (
  tenant_id        text collate "C" not null,
  generation       integer not null,
  model_id         text collate "C" not null,
  target           text collate "C" not null,
  version          text collate "C" not null,
  started_position bigint not null,
  from_position    bigint not null,
  to_position      bigint,
  state            text collate "C" not null,
  weight           integer not null,
  rollout_id       text collate "C",
  deployed_at      timestamptz not null,
  deployed_by      jsonb not null,
  ended_at         timestamptz,
  end_reason       text not null,
  constraint deployment_pkey primary key (tenant_id, generation, model_id, target, version, started_position, from_position),
  constraint deployment_lasts check (to_position > from_position),
  constraint deployment_state_known check (state in ('canary', 'deployed', 'ended')),
  constraint deployment_weight_percent check (weight between 0 and 100)
);

create unique index deployment_current on phantom.deployment (tenant_id, generation, model_id, target, version, started_position)
  where to_position is null;

-- Lists of a model, newest first.
create index deployment_by_start on phantom.deployment (tenant_id, generation, model_id, started_position)
  where to_position is null;

-- What serves now; the projection looks it up for every shift.
create index deployment_serving on phantom.deployment (tenant_id, generation, model_id, target)
  where to_position is null and ended_at is null;
{{ template "shared/projected.sql" "phantom.deployment" }}

-- Rollouts. Shifts and verdicts stand in rollout_traffic and rollout_verdict.
create table phantom.rollout (
  tenant_id        text collate "C" not null,
  generation       integer not null,
  model_id         text collate "C" not null,
  rollout_id       text collate "C" not null,
  from_position    bigint not null,
  to_position      bigint,
  started_position bigint not null,
  saga_id          text not null,
  version          text collate "C" not null,
  previous_version text collate "C",
  target           text collate "C" not null,
  state            text collate "C" not null,
  strategy         json,
  observe_after    bigint not null,
  approval         jsonb,
  approval_state   text collate "C",
  started_at       timestamptz not null,
  started_by       jsonb not null,
  ended_at         timestamptz,
  reason           text not null,
  constraint rollout_pkey primary key (tenant_id, generation, model_id, rollout_id, from_position),
  constraint rollout_lasts check (to_position > from_position),
  constraint rollout_state_known check (state in ('running', 'promoted', 'rolled_back'))
);

create unique index rollout_current on phantom.rollout (tenant_id, generation, model_id, rollout_id)
  where to_position is null;

-- Lists of the tenant and of a model, newest first; a rollout by its id alone.
create index rollout_by_start on phantom.rollout (tenant_id, generation, started_position)
  where to_position is null;
create index rollout_by_model_start on phantom.rollout (tenant_id, generation, model_id, started_position)
  where to_position is null;
create index rollout_by_id on phantom.rollout (tenant_id, generation, rollout_id, from_position);

-- Few wait at a time.
create index rollout_waiting on phantom.rollout (tenant_id, generation, started_position)
  where to_position is null and approval_state = 'waiting';
{{ template "shared/projected.sql" "phantom.rollout" }}

-- Traffic shifts of a rollout.
create table phantom.rollout_traffic (
  tenant_id        text collate "C" not null,
  generation       integer not null,
  model_id         text collate "C" not null,
  rollout_id       text collate "C" not null,
  position         bigint not null,
  route_generation bigint not null,
  weights          jsonb not null,
  at               timestamptz not null,
  constraint rollout_traffic_pkey primary key (tenant_id, generation, model_id, rollout_id, position)
);
{{ template "shared/projected.sql" "phantom.rollout_traffic" }}

-- Verdicts of a rollout, as recorded, with the numbers and the rules in force.
create table phantom.rollout_verdict (
  tenant_id  text collate "C" not null,
  generation integer not null,
  model_id   text collate "C" not null,
  rollout_id text collate "C" not null,
  position   bigint not null,
  assessment jsonb not null,
  at         timestamptz not null,
  constraint rollout_verdict_pkey primary key (tenant_id, generation, model_id, rollout_id, position)
);
{{ template "shared/projected.sql" "phantom.rollout_verdict" }}

-- What the inference log says of a model, counted. It follows another log than the rest, so it has no
-- place in the history of those.
create table phantom.model_activity (
  tenant_id          text collate "C" not null,
  generation         integer not null,
  model_id           text collate "C" not null,
  inferences         bigint not null,
  errors             bigint not null,
  labels             bigint not null,
  first_inference_at timestamptz,
  last_inference_at  timestamptz,
  constraint model_activity_pkey primary key (tenant_id, generation, model_id)
);
{{ template "shared/projected.sql" "phantom.model_activity" }}

---- create above / drop below ----

drop table phantom.model_activity;
drop table phantom.rollout_verdict;
drop table phantom.rollout_traffic;
drop table phantom.rollout;
drop table phantom.deployment;
drop table phantom.training_progress;
drop table phantom.training;
drop table phantom.version;
drop table phantom.model_tag;
drop table phantom.model;
