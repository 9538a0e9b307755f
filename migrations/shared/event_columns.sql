{{- /* The columns of an event that is appended, in the order of append_one, append_many and append_calls. */ -}}

    tenant_id, position, event_id, aggregate_type, aggregate_id, aggregate_version, event_type, event_version,
    event_data, metadata, occurred_at, recorded_at, causation_id, correlation_id, digest, link
