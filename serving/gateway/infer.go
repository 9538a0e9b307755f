package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"phantom/domain"
	"phantom/serving/oip"
)

// The outcomes of an inference. All but ok and bad_request count as errors of the version: a client that
// sends nonsense says nothing about the version that refuses it.
const (
	outcomeOK          = "ok"
	outcomeBadRequest  = "bad_request"
	outcomeTimeout     = "timeout"
	outcomeUnavailable = "unavailable"
	outcomeInternal    = "internal"
)

// inference is one request that was sent to a version.
type inference struct {
	*call
	id       domain.InferenceID
	at       time.Time
	took     time.Duration
	rows     int
	outcome  string
	response *oip.InferResponse // when the outcome is ok
	refused  *oip.StatusError   // when it is bad_request: what the version said
	sampled  bool
	subject  domain.SubjectRef // whom the request is about, if it says so
	inputs   []oip.Tensor      // where they are captured
}

func (g *Gateway) postInfer(w http.ResponseWriter, r *http.Request, c *call) error {
	subject := domain.SubjectRef(r.Header.Get(headerSubject))
	if subject != "" && !subject.Valid() { // its value stays out of the answer
		return oip.Errorf(http.StatusUnprocessableEntity,
			"%s must be a reference of 1 to 200 letters, digits and . _ : @ / + = -, beginning with a letter or a digit", headerSubject)
	}
	body, err := oip.ReadBody(w, r, g.params.MaxBody)
	if err != nil {
		return err
	}
	request, err := oip.DecodeRequest(body)
	if err != nil {
		return err
	}
	rows := request.Rows()
	if rows > g.params.MaxRows {
		return oip.Errorf(http.StatusRequestEntityTooLarge, "input %q: %d rows, at most %d are taken",
			request.Inputs[0].Name, rows, g.params.MaxRows)
	}
	if len(request.Outputs) > 0 { // all are asked for, because the label and its confidence are logged
		if body, err = widen(request); err != nil {
			return err
		}
	}
	made := g.ask(r.Context(), c, body, max(1, int(rows)))
	made.subject, made.inputs = subject, request.Inputs
	w.Header().Set(headerInferenceID, string(made.id))
	failure := made.failure()
	if failure == nil && request.ID != "" {
		made.response.ID = request.ID
	}
	events := made.events()
	if failure == nil {
		if missing := made.response.Select(request.Outputs); missing != "" {
			failure = oip.Errorf(http.StatusBadRequest, "model %s has no output %q", c.route.Model, missing)
		}
	}
	if err := g.record(r.Context(), made, events); err != nil && failure == nil {
		return err
	}
	if failure != nil {
		return failure
	}
	oip.WriteJSON(w, http.StatusOK, made.response)
	return nil
}

// widen writes the request without its choice of outputs.
func widen(request *oip.InferRequest) ([]byte, error) {
	all := *request
	all.Outputs = nil
	body, err := json.Marshal(all)
	if err != nil {
		return nil, oip.Errorf(http.StatusBadRequest, "the request has no JSON form")
	}
	return body, nil
}

// ask sends the request to its version. It goes on when the client hangs up: a slow version would else
// lose its slowest answers from the log.
func (g *Gateway) ask(ctx context.Context, c *call, body []byte, rows int) *inference {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.params.Timeout)
	defer cancel()
	now := time.Now()
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New()
	}
	made := &inference{
		call: c, at: now, rows: rows,
		id:      domain.NewInferenceID(c.route.Model, c.route.Target, now.UTC().Format(time.DateOnly), id),
		sampled: c.route.settings.Sample >= 1 || rand.Float64() < c.route.settings.Sample,
	}
	status, answer, err := g.targets.send(ctx, http.MethodPost, c.address+"/infer", body)
	made.took = time.Since(now)
	made.outcome = judge(status, err)
	if made.outcome == outcomeOK {
		made.response = made.read(answer)
		if made.response == nil {
			made.outcome = outcomeInternal
		}
	}
	if made.outcome == outcomeBadRequest {
		made.rows = 1 // how many rows a bad request has is only its claim
		made.refused = made.refusal(status, answer)
	}
	if err != nil {
		g.params.Log.Warn("a target does not answer", zap.String("target", string(c.route.Target)), zap.Error(err))
	}
	g.counts.seconds.WithLabelValues(string(c.route.Target)).Observe(made.took.Seconds())
	g.counts.requests.WithLabelValues(string(c.tenant), string(c.route.Model), string(c.route.Target),
		string(c.version), made.outcome).Inc()
	return made
}

// judge names what came of a request. A model that is not there (404) is the version's trouble, not the
// client's: the route says that it is served there.
func judge(status int, err error) string {
	var network net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout():
		return outcomeTimeout
	case errors.Is(err, errTooLong):
		return outcomeInternal
	case err != nil:
		return outcomeUnavailable
	case status == http.StatusOK:
		return outcomeOK
	case status == http.StatusGatewayTimeout || status == http.StatusRequestTimeout:
		return outcomeTimeout
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests || status == http.StatusNotFound:
		return outcomeUnavailable
	case status >= 400 && status < 500:
		return outcomeBadRequest
	}
	return outcomeInternal
}

// read takes the version's answer and puts the names in that the client knows; nil when it is not the
// protocol's.
func (i *inference) read(answer []byte) *oip.InferResponse {
	var response oip.InferResponse
	if json.Unmarshal(answer, &response) != nil || len(response.Outputs) == 0 {
		return nil
	}
	for _, output := range response.Outputs {
		if output.Name == oip.Label || output.Name == oip.Confidence {
			if len(output.Shape) == 0 || output.Shape[0] != int64(i.rows) {
				return nil
			}
		}
	}
	response.ModelName, response.ModelVersion = string(i.route.Model), string(i.version)
	if response.Parameters == nil {
		response.Parameters = map[string]json.RawMessage{}
	}
	response.Parameters["inference_id"] = json.RawMessage(`"` + string(i.id) + `"`) // of plain letters
	return &response
}

// refusal is the version's word on a bad request, under the names that the client knows.
func (i *inference) refusal(status int, answer []byte) *oip.StatusError {
	var body struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(answer, &body) != nil || body.Error == "" {
		body.Error = "the version refuses the request"
	}
	if status != http.StatusRequestEntityTooLarge {
		status = http.StatusBadRequest
	}
	return oip.Errorf(status, "%s", strings.ReplaceAll(body.Error, i.served, string(i.route.Model)))
}

// failure is what the client is told when the outcome is not ok. Only a refusal carries words of the
// target; what else a server says when it breaks is not for clients.
func (i *inference) failure() error {
	who := "version " + string(i.version) + " of " + string(i.route.Model)
	switch i.outcome {
	case outcomeOK:
		return nil
	case outcomeBadRequest:
		return i.refused
	case outcomeTimeout:
		return oip.Errorf(http.StatusGatewayTimeout, "%s did not answer in time at %s", who, i.route.Target)
	case outcomeUnavailable:
		return oip.Errorf(http.StatusServiceUnavailable, "%s is not available at %s", who, i.route.Target)
	}
	return oip.Errorf(http.StatusBadGateway, "%s failed at %s", who, i.route.Target)
}
