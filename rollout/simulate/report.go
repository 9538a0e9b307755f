package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"phantom/rollout"
)

// outcome is what became of all rollouts of a row.
type outcome struct {
	scenario
	endings []ending
}

// report simulates every row and prints both tables. Rows run side by side, each with its own seed.
func report(runs int, seed uint64) ([]byte, error) {
	steady, err := simulate(scenarios(), runs, seed)
	if err != nil {
		return nil, err
	}
	collapsed, err := simulate(collapses(), runs, seed+1000)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s rollouts a row, seed %d; made by `make rollouts`.\n\n", thousands(int64(runs)), seed)
	printSteady(&text, steady)
	text.WriteString("\nCandidates that collapse after their error rate was accepted, while labels are awaited:\n\n")
	printCollapses(&text, collapsed)
	return text.Bytes(), nil
}

func simulate(rows []scenario, runs int, seed uint64) ([]outcome, error) {
	outcomes, failures := make([]outcome, len(rows)), make([]error, len(rows))
	var all sync.WaitGroup
	for i, row := range rows {
		all.Go(func() { outcomes[i], failures[i] = simulateRow(row, runs, seed+uint64(i)) })
	}
	all.Wait()
	return outcomes, errors.Join(failures...)
}

func simulateRow(row scenario, runs int, seed uint64) (outcome, error) {
	plan, err := rollout.NewPlan(row.strategy())
	if err != nil {
		return outcome{}, err
	}
	result := outcome{scenario: row}
	for run := range uint64(runs) {
		end, err := newCandidate(row, seed, run).rollOut(plan)
		if err != nil {
			return outcome{}, err
		}
		result.endings = append(result.endings, end)
	}
	return result, nil
}

func printSteady(text *bytes.Buffer, outcomes []outcome) {
	text.WriteString("| candidate | policy | truth | promoted | rolled back | waits for a person " +
		"| candidate's requests, median (p95) | labels, median (p95) | minutes, median (p95) |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	for _, o := range outcomes {
		fmt.Fprintf(text, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
			o.name, policyName(o.policy), o.standing(),
			o.share(rollout.Promote, bad), o.share(rollout.RollBack, good), o.share(rollout.WaitForPerson, ""),
			spread(o, func(e ending) int64 { return e.requests }, thousands),
			spread(o, func(e ending) int64 { return e.labels }, thousands),
			spread(o, func(e ending) int64 { return int64(e.took) }, minutes))
	}
}

func printCollapses(text *bytes.Buffer, outcomes []outcome) {
	text.WriteString("| collapse | rolled back | waits for a person | requests from collapse to rollback, median (p95) |\n" +
		"|---|---|---|---|\n")
	for _, o := range outcomes {
		caught := outcome{endings: slices.DeleteFunc(slices.Clone(o.endings), func(e ending) bool {
			return e.move != rollout.RollBack || e.sinceChange < 0
		})}
		fmt.Fprintf(text, "| %s | %s | %s | %s |\n", o.name,
			o.share(rollout.RollBack, ""), o.share(rollout.WaitForPerson, ""),
			spread(caught, func(e ending) int64 { return e.sinceChange }, thousands))
	}
}

func policyName(rules []rollout.Rule) string {
	var names []string
	for _, rule := range rules {
		names = append(names, strings.TrimSuffix(string(rule.Metric), "_ms"))
	}
	return strings.Join(names, ", ")
}

// share is the percentage of rollouts that ended so; bold where the truth makes that a mistake.
func (o outcome) share(move rollout.Move, mistaken standing) string {
	count := 0
	for _, e := range o.endings {
		if e.move == move {
			count++
		}
	}
	text := fmt.Sprintf("%.1f %%", 100*float64(count)/float64(len(o.endings)))
	if count > 0 && o.standing() == mistaken {
		return "**" + text + "**"
	}
	return text
}

func spread(o outcome, of func(ending) int64, write func(int64) string) string {
	values := make([]int64, 0, len(o.endings))
	for _, e := range o.endings {
		values = append(values, of(e))
	}
	if len(values) == 0 || slices.Max(values) == 0 {
		return "–"
	}
	slices.Sort(values)
	return write(values[(len(values)-1)/2]) + " (" + write(values[(len(values)-1)*95/100]) + ")"
}

func minutes(nanoseconds int64) string {
	return fmt.Sprintf("%.1f", time.Duration(nanoseconds).Minutes())
}

func thousands(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}
