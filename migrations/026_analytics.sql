-- What a version answered in a minute. Confidences are summed in billionths, and latencies kept as an encoded
-- sketch of their distribution, so that the row does not depend on the order of the sums.
create table phantom.inference_bucket (
  tenant_id      text collate "C" not null,
  generation     integer not null,
  model_id       text collate "C" not null,
  minute         timestamptz not null,
  target         text collate "C" not null,
  version        text collate "C" not null,
  inferences     bigint not null,
  errors         bigint not null,
  confidences    bigint not null,
  confidence_sum bigint not null,
  labels         bigint not null,
  correct        bigint not null,
  latency        bytea not null,
  constraint inference_bucket_pkey primary key (tenant_id, generation, model_id, minute, target, version)
);
{{ template "shared/projected.sql" "phantom.inference_bucket" }}

-- Which answered rows have a label: the first counts. One that came before its inference waits here with its text.
create table phantom.inference_label (
  tenant_id    text collate "C" not null,
  generation   integer not null,
  inference_id text collate "C" not null,
  row_number   integer not null,
  label        text,
  constraint inference_label_pkey primary key (tenant_id, generation, inference_id, row_number)
);
{{ template "shared/projected.sql" "phantom.inference_label" }}

---- create above / drop below ----

drop table phantom.inference_label;
drop table phantom.inference_bucket;
