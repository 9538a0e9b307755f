package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"phantom/api/client"
)

// analytics is what is shown of a model's numbers.
type analytics struct {
	ModelID     string    `json:"model_id"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Bucket      string    `json:"bucket"`
	Totals      answered  `json:"totals"`
	Buckets     []bucket  `json:"buckets"`
	Deployments []serving `json:"deployments"`
	Trainings   struct {
		Started        int64    `json:"started"`
		Completed      int64    `json:"completed"`
		Failed         int64    `json:"failed"`
		MeanDurationMS *float64 `json:"mean_duration_ms"`
	} `json:"trainings"`
}

type answered struct {
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

type bucket struct {
	answered

	Start   time.Time `json:"start"`
	Version string    `json:"version"`
	Target  string    `json:"target"`
}

type serving struct {
	Target  string     `json:"target"`
	Version string     `json:"version"`
	From    time.Time  `json:"from"`
	To      *time.Time `json:"to"`
	Weight  int        `json:"weight"`
}

func (p *program) modelAnalytics() *cobra.Command {
	var from, to, length string
	cmd := &cobra.Command{
		Use: "analytics ID", Short: "Sum up what a model answered, trained and served", Args: takes(1, 1, modelArgument),
		Long: `Sum up what a model answered, trained and served in a time range: the last 24 hours by the hour, if nothing
else is said. Counts are of recorded inferences; accuracy is of the answers that feedback could judge.`,
		Example: "  phantom model analytics digits\n  phantom model analytics digits --from 2h --bucket 5m\n  phantom model analytics digits --from 2026-11-23T10:00:00Z --to 2026-11-24T10:00:00Z -o json",
		RunE: p.does(func(ctx context.Context, args []string) error {
			query := url.Values{}
			for name, text := range map[string]string{"from": from, "to": to} {
				at, err := p.moment("--"+name, text)
				if err != nil {
					return err
				}
				set(query, name, at)
			}
			set(query, "bucket", length)
			return p.showAnalytics(ctx, client.Request{Path: modelPath(args[0]) + "/analytics", Query: query})
		}),
	}
	cmd.Flags().StringVar(&from, "from", "", "a time (RFC 3339), or how long ago, like 2h (default 24h before --to)")
	cmd.Flags().StringVar(&to, "to", "", "a time (RFC 3339), or how long ago (default now)")
	cmd.Flags().StringVar(&length, "bucket", "", "the length of a bucket in whole minutes, like 15m (default 1h)")
	return cmd
}

// moment is a time as the API takes it. A length of time means so long ago.
func (p *program) moment(flag, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if _, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return text, nil
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago < 0 {
		return "", usagef("%s must be a time like 2026-11-23T10:00:00Z, or how long ago, like 2h", flag)
	}
	return p.now().Add(-ago).UTC().Format(time.RFC3339Nano), nil
}

func (p *program) showAnalytics(ctx context.Context, r client.Request) error {
	var raw json.RawMessage
	if err := p.call(ctx, r, &raw); err != nil {
		return err
	}
	if p.json() {
		return p.print(raw)
	}
	a, err := decode[analytics](raw, r.Path)
	if err != nil {
		return err
	}
	if p.quiet {
		fmt.Fprintln(p.out, clean(a.ModelID))
		return nil
	}
	p.fields(p.analyticsFields(a))
	if len(a.Buckets) > 0 {
		fmt.Fprintln(p.out)
		p.bucketTable(a.Buckets)
	} else {
		p.note("no inferences were recorded in this time; --from and --to ask for another")
	}
	if len(a.Deployments) > 0 {
		fmt.Fprintln(p.out)
		p.servingTable(a.Deployments)
	}
	return nil
}

// drawn tells whether charts are for somebody who watches.
func (p *program) drawn() bool { return terminal(p.out) || p.forceLive }

func (p *program) analyticsFields(a analytics) []field {
	t := a.Totals
	fields := []field{
		{"Model", a.ModelID},
		{"Time", a.From.UTC().Format(time.DateTime) + "Z to " + a.To.UTC().Format(time.DateTime) + "Z, by " + a.Bucket},
		{"Inferences", humanize.Comma(t.Inferences)},
	}
	if line := a.counts(); p.drawn() && t.Inferences > 0 && len(line) > 1 {
		fields = append(fields, field{"By time", sparkline(squeezed(line, chartColumns), 0)})
	}
	training := fmt.Sprintf("%d started, %d completed, %d failed", a.Trainings.Started, a.Trainings.Completed, a.Trainings.Failed)
	if mean := a.Trainings.MeanDurationMS; mean != nil {
		training += ", " + time.Duration(*mean*float64(time.Millisecond)).Round(100*time.Millisecond).String() + " on average"
	}
	errors := strconv.FormatInt(t.Errors, 10)
	if t.ErrorRate != nil {
		errors += " (" + percentOf(t.ErrorRate) + ")"
	}
	fields = append(fields, field{"Errors", errors}, field{"Confidence", optNumber(t.MeanConfidence)})
	if l := t.LatencyMS; l != nil {
		fields = append(fields, field{"Latency", fmt.Sprintf("p50 %s ms, p90 %s ms, p99 %s ms", number(l.P50), number(l.P90), number(l.P99))})
	}
	if t.Accuracy != nil {
		fields = append(fields, field{"Accuracy", fmt.Sprintf("%s of %s labelled", percentOf(t.Accuracy), humanize.Comma(t.Labelled))})
	}
	return append(fields, field{"Trainings", training})
}

// counts are the inferences of every bucket of the time, those without any too.
func (a analytics) counts() []float64 {
	length, err := time.ParseDuration(a.Bucket)
	if err != nil || length <= 0 {
		return nil
	}
	first := a.From.Truncate(length)
	const most = 10_000 // more than the API gives
	n := int(min(math.Ceil(float64(a.To.Sub(first))/float64(length)), most))
	counts := make([]float64, max(n, 0))
	for _, b := range a.Buckets {
		if i := int(b.Start.Sub(first) / length); i >= 0 && i < len(counts) {
			counts[i] += float64(b.Inferences)
		}
	}
	return counts
}

func (p *program) bucketTable(buckets []bucket) {
	header := []string{"START", "TARGET", "VERSION", "INFERENCES", "ERRORS", "CONFIDENCE", "P50 MS", "P99 MS", "ACCURACY", "LABELLED"}
	var most int64
	for _, b := range buckets {
		most = max(most, b.Inferences)
	}
	if p.drawn() {
		header = append(header, "SHARE")
	}
	rows := make([][]string, len(buckets))
	for i, b := range buckets {
		p50, p99 := "", ""
		if b.LatencyMS != nil {
			p50, p99 = number(b.LatencyMS.P50), number(b.LatencyMS.P99)
		}
		rows[i] = []string{
			b.Start.UTC().Format("2006-01-02 15:04Z"), b.Target, b.Version, strconv.FormatInt(b.Inferences, 10), percentOf(b.ErrorRate),
			optNumber(b.MeanConfidence), p50, p99, percentOf(b.Accuracy), strconv.FormatInt(b.Labelled, 10),
		}
		if p.drawn() {
			const columns = 20
			rows[i] = append(rows[i], bar(float64(b.Inferences), float64(most), columns))
		}
	}
	p.table(header, rows)
}

func (p *program) servingTable(deployments []serving) {
	rows := make([][]string, len(deployments))
	for i, d := range deployments {
		until := "still"
		if d.To != nil {
			until = d.To.UTC().Format("2006-01-02 15:04Z")
		}
		rows[i] = []string{d.Target, d.Version, strconv.Itoa(d.Weight) + " %", d.From.UTC().Format("2006-01-02 15:04Z"), until}
	}
	p.table([]string{"TARGET", "VERSION", "TRAFFIC", "FROM", "TO"}, rows)
}

func percentOf(share *float64) string {
	if share == nil {
		return ""
	}
	const hundred = 100
	return number(*share*hundred) + " %"
}

func optNumber(x *float64) string {
	if x == nil {
		return ""
	}
	return number(*x)
}
