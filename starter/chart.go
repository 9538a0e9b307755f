package main

import (
	"context"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"phantom/api/client"
)

// chartColumns is how wide a line of blocks gets.
const chartColumns = 60

// sparkline draws values as a line of blocks, from the lowest to their greatest.
func sparkline(values []float64, lowest float64) string {
	greatest := lowest
	for _, v := range values {
		greatest = max(greatest, v)
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	line := make([]rune, len(values))
	for i, v := range values {
		height := 0.0
		if greatest > lowest {
			height = max(v-lowest, 0) / (greatest - lowest)
		}
		line[i] = blocks[int(math.Round(height*float64(len(blocks)-1)))]
	}
	return string(line)
}

// squeezed sums neighbours so that at most columns values are left.
func squeezed(values []float64, columns int) []float64 {
	if columns < 1 || len(values) <= columns {
		return values
	}
	sums := make([]float64, columns)
	for i, v := range values {
		sums[i*columns/len(values)] += v
	}
	return sums
}

// bar is a horizontal bar of a value between 0 and the greatest, in eighths of a column.
func bar(value, greatest float64, columns int) string {
	if greatest <= 0 || value <= 0 {
		return ""
	}
	eighths := int(math.Ceil(min(value/greatest, 1) * float64(columns) * 8))
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return text
}

// curve is a metric of a training, epoch by epoch.
type curve struct {
	Metric string `json:"metric"`
	Points []struct {
		Epoch int     `json:"epoch"`
		Step  int64   `json:"step"`
		Value float64 `json:"value"`
	} `json:"points"`
}

// drawCurves draws a training's metrics from their lowest to their greatest value, with the first and the last in words.
func (p *program) drawCurves(ctx context.Context, t training) error {
	var found page[curve]
	path := modelPath(t.ModelID) + "/trainings/" + url.PathEscape(t.TrainingJobID) + "/metrics"
	query := url.Values{"max_points": {strconv.Itoa(chartColumns)}}
	if err := p.call(ctx, client.Request{Path: path, Query: query}, &found); err != nil {
		return err
	}
	var fields []field
	for _, c := range found.Items {
		values := make([]float64, len(c.Points))
		for i, point := range c.Points {
			values[i] = point.Value
		}
		if len(values) > 1 {
			line := sparkline(values, slices.Min(values))
			fields = append(fields, field{c.Metric, line + " " + number(values[0]) + " to " + number(values[len(values)-1])})
		}
	}
	p.fields(fields)
	return nil
}
