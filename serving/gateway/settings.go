package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"phantom/domain"
)

// Logging is how the inferences of a deployment are logged.
type Logging string

// The ways to log. Sampling is written "sample:0.1".
const (
	LogOff     Logging = "off"
	LogSample  Logging = "sample"
	LogAsync   Logging = "async"   // after the answer
	LogDurable Logging = "durable" // before the answer
)

// Capture is what is logged of an inference.
type Capture string

// The captures. Inputs are private always, a prediction when the request names a subject: what is private
// is sealed before it enters the log.
const (
	CaptureMetadata   Capture = "metadata"
	CapturePrediction Capture = "prediction"
	CaptureFull       Capture = "full" // the inputs too
)

// Settings is what a deployment_config says to the gateway: {"logging":"async","capture":"prediction"}.
type Settings struct {
	Logging Logging
	Sample  float64 // the share that is logged; 1 but for LogSample
	Capture Capture
}

func defaults() Settings { return Settings{Logging: LogAsync, Sample: 1, Capture: CapturePrediction} }

// ParseSettings reads a deployment_config; empty means the defaults. What is wrong is a
// *domain.InvalidInput. Fields of other readers are left to them.
func ParseSettings(config json.RawMessage) (Settings, error) {
	settings := defaults()
	if text := bytes.TrimSpace(config); len(text) == 0 || string(text) == "null" {
		return settings, nil
	}
	var given struct {
		Logging string  `json:"logging"`
		Capture Capture `json:"capture"`
	}
	if err := json.Unmarshal(config, &given); err != nil {
		return defaults(), &domain.InvalidInput{Field: "deployment_config", Reason: "it is not a JSON object with texts"}
	}
	kind, share, sampled := strings.Cut(given.Logging, ":")
	switch logging := Logging(kind); {
	case given.Logging == "":
	case logging == LogSample && sampled:
		p, err := strconv.ParseFloat(share, 64)
		if err != nil || !(p > 0 && p <= 1) {
			return defaults(), &domain.InvalidInput{
				Field: "deployment_config.logging", Reason: fmt.Sprintf("%q is not a share above 0 and up to 1", share),
			}
		}
		settings.Logging, settings.Sample = LogSample, p
	case !sampled && (logging == LogOff || logging == LogAsync || logging == LogDurable):
		settings.Logging = logging
	default:
		return defaults(), &domain.InvalidInput{
			Field:  "deployment_config.logging",
			Reason: fmt.Sprintf("%q is not off, sample:<share>, async or durable", given.Logging),
		}
	}
	switch given.Capture {
	case "":
	case CaptureMetadata, CapturePrediction, CaptureFull:
		settings.Capture = given.Capture
	default:
		return defaults(), &domain.InvalidInput{
			Field: "deployment_config.capture", Reason: fmt.Sprintf("%q is not metadata, prediction or full", given.Capture),
		}
	}
	return settings, nil
}
