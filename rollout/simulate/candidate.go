package main

import (
	"math"
	"math/rand/v2"
	"time"

	"phantom/rollout"
)

// tick is how often traffic arrives and the candidate is assessed.
const tick = time.Second

// ending is how one simulated rollout came out: at its end, or when it first waits for a person.
type ending struct {
	move        rollout.Move
	requests    int64 // the candidate got
	labels      int64 // of the candidate that counted
	took        time.Duration
	sinceChange int64 // requests between the collapse and the end; -1 when it never collapsed
}

// candidate is one rollout under way.
type candidate struct {
	scenario
	random   *rand.Rand
	analysis rollout.Analysis
	tally    rollout.Tally
	labelled int64
	due      map[int][]bool // by tick: labels that arrive then, and whether the answer was right
	changeAt int64          // request at which the collapse comes; 0 while not known
}

func newCandidate(s scenario, seed, run uint64) *candidate {
	analysis := rollout.NewAnalysis(s.strategy())
	return &candidate{
		scenario: s, random: rand.New(rand.NewPCG(seed, run)), analysis: analysis, tally: analysis.Begin(),
		due: map[int][]bool{},
	}
}

func (s scenario) strategy() rollout.Strategy {
	return rollout.Strategy{Canary: rollout.Canary{Analysis: s.policy}}.WithDefaults()
}

// rollOut walks the plan as the saga does, one assessment a tick.
func (c *candidate) rollOut(plan rollout.Plan) (ending, error) {
	state, action, err := plan.Next(rollout.State{}, rollout.Begun{})
	weight, shifted := action.Weight, 0
	assessment := c.analysis.Assess(c.tally)
	for now := 1; err == nil; now++ {
		if c.serve(now, weight) {
			assessment = c.analysis.Assess(c.tally)
		}
		observed := rollout.Observed{Held: time.Duration(now-shifted) * tick, Assessment: assessment}
		state, action, err = plan.Next(state, observed)
		if action.Move == rollout.Shift {
			weight, shifted = action.Weight, now
		}
		if state.Ended != "" || state.Waiting {
			return c.ending(action.Move, time.Duration(now)*tick), err
		}
	}
	return ending{}, err
}

func (c *candidate) ending(move rollout.Move, took time.Duration) ending {
	result := ending{move: move, requests: c.tally.Requests, labels: c.labelled, took: took, sinceChange: -1}
	if c.changeAt > 0 && c.tally.Requests >= c.changeAt {
		result.sinceChange = c.tally.Requests - c.changeAt
	}
	return result
}

// serve draws one tick of the candidate's traffic, hands in the labels that have become due, and returns
// whether there was anything to observe.
func (c *candidate) serve(now, weight int) bool {
	arrived := c.arrivals(c.rate * float64(weight) / 100 * tick.Seconds())
	for range arrived {
		c.answer(now)
	}
	labels := c.due[now]
	for _, right := range labels {
		c.labelled++
		c.analysis.Label(&c.tally, right)
	}
	delete(c.due, now)
	return arrived+len(labels) > 0
}

func (c *candidate) answer(now int) {
	truth := c.present()
	answer := rollout.Answer{Errored: c.happens(truth.errors), LatencyMS: 10}
	if c.happens(truth.slow) {
		answer.LatencyMS = 100
	}
	labelCounts := c.analysis.Answer(&c.tally, answer)
	wrong := c.happens(truth.wrong)
	if !labelCounts || !c.happens(c.labels.share) {
		return
	}
	late := now + int(c.random.ExpFloat64()*c.labels.delay.Seconds()/tick.Seconds())
	c.due[late] = append(c.due[late], !wrong)
}

// present is the truth of this request; it notes where the collapse comes.
func (c *candidate) present() truth {
	if c.after == nil {
		return c.truth
	}
	if c.changeAt == 0 && c.tally.Counts[0].AcceptedAt > 0 {
		c.changeAt = c.tally.Requests + c.after.requests
	}
	if c.changeAt > 0 && c.tally.Requests >= c.changeAt {
		return c.after.truth
	}
	return c.truth
}

// happens draws only where there is something to draw.
func (c *candidate) happens(share float64) bool { return share > 0 && c.random.Float64() < share }

// arrivals draws from a Poisson distribution (D. Knuth, The Art of Computer Programming 2, §3.4.1).
func (c *candidate) arrivals(mean float64) int {
	count, limit := 0, math.Exp(-mean)
	for product := c.random.Float64(); product > limit; product *= c.random.Float64() {
		count++
	}
	return count
}
