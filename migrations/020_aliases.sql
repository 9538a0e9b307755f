-- Which version an alias of a model names, and named. An alias that was removed has no open row.
create table phantom.alias (
  tenant_id        text collate "C" not null,
  generation       integer not null,
  model_id         text collate "C" not null,
  alias            text collate "C" not null,
  from_position    bigint not null,
  to_position      bigint,
  version          text collate "C" not null,
  previous_version text collate "C",
  reason           text not null,
  assigned_at      timestamptz not null,
  assigned_by      jsonb not null,
  constraint alias_pkey primary key (tenant_id, generation, model_id, alias, from_position),
  constraint alias_lasts check (to_position > from_position)
);

create unique index alias_current on phantom.alias (tenant_id, generation, model_id, alias)
  where to_position is null;
{{ template "shared/projected.sql" "phantom.alias" }}

---- create above / drop below ----

drop table phantom.alias;
