-- What the projections of a worker cost at each event.

-- projection_pass moves the checkpoints of many tenants past positions at which their projection finds nothing, and answers
-- with the tenants whose checkpoint has moved. Most events mean nothing to most projections: moved tenant by tenant, the
-- checkpoints would cost more than all rows. The rules are those of a single tenant's move: compare-and-set of the position,
-- no older epoch, nothing while the projection is paused or the generation is dropped.

-- The feed role changes checkpoints, and nothing else of a tenant.
create policy feed_passes on phantom.projection_checkpoint for update to phantom_feed using (true) with check (true);
grant update (epoch, position, updated_at, error, error_position, failed_at) on phantom.projection_checkpoint to phantom_feed;

create function phantom.projection_pass(p_log text, p_projection text, p_generation integer, p_epoch bigint,
  p_tenants text[], p_from bigint[], p_to bigint[])
returns setof text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $function$
begin
  return query
  update phantom.projection_checkpoint c
     set position = m.to_position, epoch = p_epoch, updated_at = clock_timestamp(),
         error = null, error_position = null, failed_at = null
    from unnest(p_tenants, p_from, p_to) as m (tenant, from_position, to_position)
   cross join lateral (
     select s.ctid from phantom.projection_checkpoint s
      where s.tenant_id = m.tenant and s.log = p_log and s.projection = p_projection and s.generation = p_generation
     offset 0) as found
   where c.ctid = found.ctid and c.position = m.from_position and c.epoch <= p_epoch
     and exists (
       select from phantom.projection_generation g
       join phantom.projection_build b on b.projection = g.projection
       where g.projection = p_projection and b.generation = p_generation and g.paused_at is null and b.state <> 'dropping')
  returning c.tenant_id;
end;
$function$;
{{ template "shared/own.sql" (list "phantom_feed" "phantom" "projection_pass") }}

-- The indexes for lists hold what they held, but only a question that says from_position > 0, as lists do, may use them. A
-- planner that knows nothing of a tenant or of a new generation takes it for a few rows, and took one of these indexes to
-- look up a row by its key: it read all that the tenant has, for each event.
drop index phantom.model_by_status;
create index model_by_status on phantom.model (tenant_id, generation, status, model_id)
  where to_position is null and from_position > 0;
drop index phantom.model_by_type;
create index model_by_type on phantom.model (tenant_id, generation, model_type, model_id)
  where to_position is null and from_position > 0;
drop index phantom.model_by_algorithm;
create index model_by_algorithm on phantom.model (tenant_id, generation, algorithm, model_id)
  where to_position is null and from_position > 0;
drop index phantom.model_tag_by_value;
create index model_tag_by_value on phantom.model_tag (tenant_id, generation, key, value, model_id)
  where to_position is null and from_position > 0;
drop index phantom.version_by_number;
create index version_by_number on phantom.version (tenant_id, generation, model_id, number)
  where to_position is null and from_position > 0;
drop index phantom.version_by_artifact;
create index version_by_artifact on phantom.version (tenant_id, generation, artifacts_location)
  where to_position is null and from_position > 0;
drop index phantom.training_by_start;
create index training_by_start on phantom.training (tenant_id, generation, started_position)
  where to_position is null and from_position > 0;
drop index phantom.training_by_model_start;
create index training_by_model_start on phantom.training (tenant_id, generation, model_id, started_position)
  where to_position is null and from_position > 0;
drop index phantom.training_waiting;
create index training_waiting on phantom.training (tenant_id, generation, started_position)
  where to_position is null and from_position > 0 and approval_state = 'waiting';
drop index phantom.deployment_by_start;
create index deployment_by_start on phantom.deployment (tenant_id, generation, model_id, started_position)
  where to_position is null and from_position > 0;
drop index phantom.rollout_by_start;
create index rollout_by_start on phantom.rollout (tenant_id, generation, started_position)
  where to_position is null and from_position > 0;
drop index phantom.rollout_by_model_start;
create index rollout_by_model_start on phantom.rollout (tenant_id, generation, model_id, started_position)
  where to_position is null and from_position > 0;
drop index phantom.rollout_waiting;
create index rollout_waiting on phantom.rollout (tenant_id, generation, started_position)
  where to_position is null and from_position > 0 and approval_state = 'waiting';
drop index phantom.saga_by_start;
create index saga_by_start on phantom.saga (tenant_id, generation, started_at, saga_id, run_id)
  where to_position is null and from_position > 0;
drop index phantom.saga_by_model_start;
create index saga_by_model_start on phantom.saga (tenant_id, generation, model_id, started_at, saga_id, run_id)
  where to_position is null and from_position > 0;

---- create above / drop below ----

drop index phantom.model_by_status;
create index model_by_status on phantom.model (tenant_id, generation, status, model_id)
  where to_position is null;
drop index phantom.model_by_type;
create index model_by_type on phantom.model (tenant_id, generation, model_type, model_id)
  where to_position is null;
drop index phantom.model_by_algorithm;
create index model_by_algorithm on phantom.model (tenant_id, generation, algorithm, model_id)
  where to_position is null;
drop index phantom.model_tag_by_value;
create index model_tag_by_value on phantom.model_tag (tenant_id, generation, key, value, model_id)
  where to_position is null;
drop index phantom.version_by_number;
create index version_by_number on phantom.version (tenant_id, generation, model_id, number)
  where to_position is null;
drop index phantom.version_by_artifact;
create index version_by_artifact on phantom.version (tenant_id, generation, artifacts_location)
  where to_position is null;
drop index phantom.training_by_start;
create index training_by_start on phantom.training (tenant_id, generation, started_position)
  where to_position is null;
drop index phantom.training_by_model_start;
create index training_by_model_start on phantom.training (tenant_id, generation, model_id, started_position)
  where to_position is null;
drop index phantom.training_waiting;
create index training_waiting on phantom.training (tenant_id, generation, started_position)
  where to_position is null and approval_state = 'waiting';
drop index phantom.deployment_by_start;
create index deployment_by_start on phantom.deployment (tenant_id, generation, model_id, started_position)
  where to_position is null;
drop index phantom.rollout_by_start;
create index rollout_by_start on phantom.rollout (tenant_id, generation, started_position)
  where to_position is null;
drop index phantom.rollout_by_model_start;
create index rollout_by_model_start on phantom.rollout (tenant_id, generation, model_id, started_position)
  where to_position is null;
drop index phantom.rollout_waiting;
create index rollout_waiting on phantom.rollout (tenant_id, generation, started_position)
  where to_position is null and approval_state = 'waiting';
drop index phantom.saga_by_start;
create index saga_by_start on phantom.saga (tenant_id, generation, started_at, saga_id, run_id)
  where to_position is null;
drop index phantom.saga_by_model_start;
create index saga_by_model_start on phantom.saga (tenant_id, generation, model_id, started_at, saga_id, run_id)
  where to_position is null;


drop function phantom.projection_pass;
revoke update (epoch, position, updated_at, error, error_position, failed_at) on phantom.projection_checkpoint from phantom_feed;
drop policy feed_passes on phantom.projection_checkpoint;
