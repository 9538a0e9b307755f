-- Whether a tenant has a version of an artifact, and so may read it by its digest.
create index version_by_artifact on phantom.version (tenant_id, generation, artifacts_location)
  where to_position is null;

---- create above / drop below ----

drop index phantom.version_by_artifact;
