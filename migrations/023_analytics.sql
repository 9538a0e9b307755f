-- What the inference log says of each version at each target, in buckets of a minute and of an hour (minutes says
-- which), by the time of the inference in UTC. Only sums and a sketch that merges stand here, so the rows do not
-- depend on how events were batched: confidence is summed in units of 1e-9 because sums of floating-point numbers
-- depend on their order. latency is a DDSketch of the answered requests in milliseconds.
create table phantom.inference_bucket (
  tenant_id        text collate "C" not null,
  generation       integer not null,
  model_id         text collate "C" not null,
  minutes          smallint not null,
  start            timestamptz not null,
  version          text collate "C" not null,
  target           text collate "C" not null,
  inferences       bigint not null,
  errors           bigint not null,
  confident        bigint not null,
  confidence_nano  bigint not null,
  labelled         bigint not null,
  correct          bigint not null,
  latency          bytea not null,
  constraint inference_bucket_pkey primary key (tenant_id, generation, model_id, minutes, start, version, target),
  constraint inference_bucket_minutes_known check (minutes in (1, 60))
) with (fillfactor = 50); -- the present bucket is written with every batch: in its page, without a new index entry
{{ template "shared/projected.sql" "phantom.inference_bucket" }}

-- The first label of each row, by the id of its inference's event. It waits there for an inference that comes
-- after it, and makes sure that no row is judged twice. Of the label only a digest is kept: it is compared, never shown.
create table phantom.inference_label (
  tenant_id    text collate "C" not null,
  generation   integer not null,
  inference_id uuid not null,
  label_digest bytea not null,
  constraint inference_label_pkey primary key (tenant_id, generation, inference_id)
);
{{ template "shared/projected.sql" "phantom.inference_label" }}

---- create above / drop below ----

drop table phantom.inference_label;
drop table phantom.inference_bucket;
