package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"phantom/api/client"
)

// analytics is what is shown of a model's measurements.
type analytics struct {
	ModelID   string            `json:"model_id"`
	From      time.Time         `json:"from"`
	To        time.Time         `json:"to"`
	Bucket    string            `json:"bucket"`
	Totals    inferenceStats    `json:"totals"`
	Buckets   []analyticsBucket `json:"buckets"`
	Trainings struct {
		Started        int64    `json:"started"`
		Completed      int64    `json:"completed"`
		Failed         int64    `json:"failed"`
		MeanDurationMS *float64 `json:"mean_duration_ms"`
	} `json:"trainings"`
	Deployments []struct {
		Target  string     `json:"target"`
		Version string     `json:"version"`
		From    time.Time  `json:"from"`
		To      *time.Time `json:"to"`
		Weight  int        `json:"weight"`
	} `json:"deployments"`
}

type inferenceStats struct {
	Inferences     int64    `json:"inferences"`
	Errors         int64    `json:"errors"`
	ErrorRate      *float64 `json:"error_rate"`
	MeanConfidence *float64 `json:"mean_confidence"`
	LatencyMS      *struct {
		P50 float64 `json:"p50"`
		P90 float64 `json:"p90"`
		P99 float64 `json:"p99"`
	} `json:"latency_ms"`
	Accuracy *float64 `json:"accuracy"`
	Labelled int64    `json:"labelled"`
}

type analyticsBucket struct {
	inferenceStats

	Start   time.Time `json:"start"`
	Version string    `json:"version"`
	Target  string    `json:"target"`
}

func (p *program) modelAnalytics() *cobra.Command {
	var from, to, bucket string
	cmd := &cobra.Command{
		Use: "analytics ID", Short: "Show what was measured of a model's inferences: errors, latency, confidence, accuracy",
		Example: "  phantom model analytics digits --bucket 5m --from 2026-11-23T10:00:00Z --to 2026-11-23T12:00:00Z",
		Args:    takes(1, 1, modelArgument),
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := url.Values{}
			set(query, "from", from)
			set(query, "to", to)
			set(query, "bucket", bucket)
			path := modelPath(args[0]) + "/analytics"
			var raw json.RawMessage
			if err := p.call(ctx, client.Request{Path: path, Query: query}, &raw); err != nil {
				return err
			}
			if p.json() {
				return p.print(raw)
			}
			found, err := decode[analytics](raw, path)
			if err != nil {
				return err
			}
			p.showAnalytics(found)
			return nil
		}),
	}
	cmd.Flags().StringVar(&from, "from", "", "inferences made at or after (RFC 3339; default 24 hours before --to)")
	cmd.Flags().StringVar(&to, "to", "", "inferences made before (RFC 3339; default now)")
	cmd.Flags().StringVar(&bucket, "bucket", "", "1m, 5m, 15m, 30m, 1h, 6h, 12h or 1d (default 1h)")
	return cmd
}

func (p *program) showAnalytics(a analytics) {
	if !p.quiet {
		p.fields(analyticsFields(a))
	}
	if len(a.Buckets) == 0 {
		p.note("no inferences between %s and %s; --from and --to say another time", a.From.Format(time.DateTime), a.To.Format(time.DateTime))
		return
	}
	if !p.quiet {
		fmt.Fprintln(p.out)
	}
	if p.charted() {
		p.chartServing(a)
		return
	}
	rows := make([][]string, len(a.Buckets))
	for i, b := range a.Buckets {
		rows[i] = append([]string{b.Start.Format("2006-01-02T15:04Z"), b.Version, b.Target}, b.cells()...)
	}
	p.table([]string{"START", "VERSION", "TARGET", "INFERENCES", "ERRORS", "P50 MS", "P90 MS", "P99 MS", "CONFIDENCE", "ACCURACY", "LABELLED"}, rows)
}

func analyticsFields(a analytics) []field {
	t := a.Totals
	trainings := ""
	if a.Trainings.Started+a.Trainings.Completed+a.Trainings.Failed > 0 {
		trainings = fmt.Sprintf("%d started, %d completed, %d failed", a.Trainings.Started, a.Trainings.Completed, a.Trainings.Failed)
		if mean := a.Trainings.MeanDurationMS; mean != nil {
			trainings += ", " + time.Duration(*mean*float64(time.Millisecond)).Round(100*time.Millisecond).String() + " on average"
		}
	}
	fields := []field{
		{"Model", a.ModelID},
		{"Time", a.From.Format(time.DateTime) + "Z to " + a.To.Format(time.DateTime) + "Z, by " + a.Bucket},
		{"Inferences", humanize.Comma(t.Inferences)},
		{"Errors", withRate(t)},
	}
	if l := t.LatencyMS; l != nil {
		fields = append(fields, field{"Latency", fmt.Sprintf("p50 %s ms, p90 %s ms, p99 %s ms", number(l.P50), number(l.P90), number(l.P99))})
	}
	accuracy := ""
	if t.Accuracy != nil {
		accuracy = fmt.Sprintf("%s of %s labelled", number(*t.Accuracy), humanize.Comma(t.Labelled))
	}
	fields = append(fields, field{"Confidence", known(t.MeanConfidence)}, field{"Accuracy", accuracy}, field{"Trainings", trainings})
	for _, d := range a.Deployments {
		until := "now"
		if d.To != nil {
			until = d.To.Format(time.DateTime) + "Z"
		}
		fields = append(fields, field{"Traffic", fmt.Sprintf("%s: version %s %d %%, %sZ to %s", d.Target, d.Version, d.Weight, d.From.Format(time.DateTime), until)})
	}
	return fields
}

func withRate(t inferenceStats) string {
	if t.ErrorRate == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s %%)", humanize.Comma(t.Errors), number(100**t.ErrorRate))
}

// known is a number that may be null.
func known(value *float64) string {
	if value == nil {
		return ""
	}
	return number(*value)
}

// cells are the columns of a bucket from INFERENCES on.
func (s inferenceStats) cells() []string {
	p50, p90, p99 := "", "", ""
	if s.LatencyMS != nil {
		p50, p90, p99 = number(s.LatencyMS.P50), number(s.LatencyMS.P90), number(s.LatencyMS.P99)
	}
	return []string{
		strconv.FormatInt(s.Inferences, 10), strconv.FormatInt(s.Errors, 10), p50, p90, p99,
		known(s.MeanConfidence), known(s.Accuracy), strconv.FormatInt(s.Labelled, 10),
	}
}

// served is a version at a target over the buckets of time; NaN where it has none.
type served struct {
	version, target      string
	inferences           int64
	count, p99, accuracy []float64
}

const shareCells = 10

// chartServing draws a line for each version at each target, over the range of time.
func (p *program) chartServing(a analytics) {
	all := servings(a)
	fixed := 45 // cells of the columns that are no curves, with targets of 6 letters
	for _, s := range all {
		fixed = max(fixed, 39+len(s.target))
	}
	cells := max((p.width()-fixed)/3, 6)
	header := []string{"VERSION", "TARGET", "INFERENCES", "SHARE", "OVER TIME", "P99", "ACCURACY"}
	rows := make([][]string, len(all))
	for i, s := range all {
		rows[i] = []string{
			s.version, s.target, humanize.Comma(s.inferences), bar(float64(s.inferences)/float64(max(a.Totals.Inferences, 1)), shareCells),
			sparkline(s.count, cells), sparkline(s.p99, cells), sparkline(s.accuracy, cells),
		}
	}
	p.table(header, rows)
}

func servings(a analytics) []*served {
	size, err := time.ParseDuration(strings.Replace(a.Bucket, "1d", "24h", 1))
	if err != nil || size <= 0 {
		size = a.To.Sub(a.From)
	}
	slots := min(max(int(a.To.Sub(a.From)/max(size, 1)), 1), 1<<16)
	var all []*served
	for _, b := range a.Buckets {
		i := slices.IndexFunc(all, func(s *served) bool { return s.version == b.Version && s.target == b.Target })
		if i < 0 {
			i = len(all)
			all = append(all, &served{version: b.Version, target: b.Target, count: make([]float64, slots), p99: unknown(slots), accuracy: unknown(slots)})
		}
		s := all[i]
		s.inferences += b.Inferences
		at := int(b.Start.Sub(a.From) / max(size, 1))
		if at < 0 || at >= slots {
			continue
		}
		s.count[at] = float64(b.Inferences)
		if b.LatencyMS != nil {
			s.p99[at] = b.LatencyMS.P99
		}
		if b.Accuracy != nil {
			s.accuracy[at] = *b.Accuracy
		}
	}
	return all
}

func unknown(slots int) []float64 {
	values := make([]float64, slots)
	for i := range values {
		values[i] = math.NaN()
	}
	return values
}
