package api_test

import "net/http"

// badQueries are bad questions to search, lineage and analytics.
func badQueries() []refusal {
	const one = "/api/v1/models/digits"
	return []refusal{
		{"search: no text", request{path: "/api/v1/search"}, badBody, "invalid_input", []string{"q"}},
		{"search: bad cursor", request{path: "/api/v1/search?q=digits&cursor=x"}, badBody, "invalid_input", []string{"cursor"}},
		{"search: of the past", request{path: "/api/v1/search?q=digits&as_of=1"}, http.StatusBadRequest, "as_of_not_supported", []string{"as_of"}},
		{"lineage: not there", request{path: one + "/versions/9/lineage"}, http.StatusNotFound, "not_found", nil},
		{"lineage: bad moment", request{path: one + "/versions/9/lineage?as_of=x"}, badBody, "invalid_input", []string{"as_of"}},
		{"analytics: bad bucket", request{path: one + "/analytics?bucket=x"}, badBody, "invalid_input", []string{"bucket"}},
		{"analytics: of the past", request{path: one + "/analytics?as_of=1"}, http.StatusBadRequest, "as_of_not_supported", []string{"as_of"}},
		{"analytics: not there", request{path: "/api/v1/models/nope/analytics"}, http.StatusNotFound, "not_found", nil},
	}
}

// badSteering are projections that are not there, and bad things to tell one that is.
func badSteering() []refusal {
	const all = "/api/v1/projections"
	refusals := []refusal{
		{"projections: unknown parameter", request{path: all + "?state=paused"}, badBody, "invalid_input", []string{"state"}},
		{"projection: not there", request{path: all + "/nope"}, http.StatusNotFound, "not_found", nil},
		{"parked: bad cursor", request{path: all + "/catalogue/parked?cursor=x"}, badBody, "invalid_input", []string{"cursor"}},
		{"pause: unknown field", post(all+"/catalogue/pause", object{"why": "x"}), badBody, "invalid_input", []string{"/why"}},
		{"rewind: no position", post(all+"/catalogue/rewind", object{}), badBody, "invalid_input", []string{"/position"}},
		{"rebuild: bad throttle", post(all+"/catalogue/rebuild", object{"throttle": "x"}), badBody, "invalid_input", []string{"/throttle"}},
		{"retry: half a stream", post(all+"/catalogue/retry", object{"aggregate_type": 7}), badBody, "invalid_input", []string{"/aggregate_type"}},
	}
	for action, body := range map[string]any{"pause": object{"reason": "x"}, "resume": nil, "rewind": object{"position": 0}, "rebuild": nil, "retry": nil} {
		refusals = append(refusals, refusal{action + " a projection: not there", post(all+"/nope/"+action, body), http.StatusNotFound, "not_found", nil})
	}
	return refusals
}
