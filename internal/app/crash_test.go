package app_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"time"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

const (
	kills     = 50
	killsHit  = 40 // of them between first read and commit
	mostKills = 75
)

// plan is where a kill is aimed at: some time after an event. What it really hits is seen from the last event.
type plan struct {
	phase scoringv1.BatchPhase
	rows  int64 // read, at least
	delay time.Duration
}

// aim draws the n-th plan: most somewhere in scoring, many in the commit and a little beyond, some anywhere. took is the
// receipt of an earlier batch on this machine.
func aim(rng *rand.Rand, n int, took *scoringv1.Batch) plan {
	upTo := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d) + 1)) }
	commit, total := 100*time.Millisecond, time.Second
	for _, s := range took.GetTimings() {
		switch s.GetStep() {
		case "commit":
			commit = time.Duration(s.GetNanos())
		case "total":
			total = time.Duration(s.GetNanos())
		}
	}
	switch {
	case n%10 < 5:
		return plan{scoringv1.BatchPhase_BATCH_PHASE_SCORE, 1 + rng.Int64N(bigRows), upTo(20 * time.Millisecond)}
	case n%10 < 9:
		return plan{scoringv1.BatchPhase_BATCH_PHASE_COMMIT, 0, upTo(commit + commit/10)}
	default:
		return plan{scoringv1.BatchPhase_BATCH_PHASE_RESOLVE, 0, upTo(total)}
	}
}

func (p plan) reached(e *scoringv1.BatchEvent) bool {
	return e.GetPhase() > p.phase || e.GetPhase() == p.phase && e.GetRowsRead() >= p.rows
}

// killDuring starts a batch, kills the daemon as planned and returns the last event that got out.
func (d *daemon) killDuring(t *testing.T, r *scoringv1.RunBatchRequest, p plan) *scoringv1.BatchEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := d.batches.RunBatch(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	var last *scoringv1.BatchEvent
	aimed := false
	for {
		got, err := stream.Recv()
		if err != nil {
			break
		}
		last = got.GetEvent()
		if !aimed && p.reached(last) {
			aimed = true
			timer := time.AfterFunc(p.delay, func() { _ = d.cmd.Process.Kill() })
			defer timer.Stop()
		}
	}
	d.kill()
	if last == nil {
		t.Fatalf("no event before the kill: %s", tail(d.stderr.String(), 20))
	}
	return last
}

// where names what a kill hit.
func where(e *scoringv1.BatchEvent) string {
	switch {
	case e.GetPhase() != scoringv1.BatchPhase_BATCH_PHASE_SCORE:
		return strings.ToLower(strings.TrimPrefix(e.GetPhase().String(), "BATCH_PHASE_"))
	case e.GetRowsRead() == 0:
		return "score, nothing read"
	default:
		quarter := min(3, 4*e.GetRowsWritten()/e.GetRowsTotal())
		return fmt.Sprintf("score, %d-%d%% written", 25*quarter, 25*quarter+25)
	}
}

// Whatever moment the process dies at, a restart and a re-run leave exactly one copy of each row.
func TestKillAtRandomPoints(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)

	d := start(t, command(config, dir))
	// Every second batch writes again what is there already, so kills hit first runs and replacements. Each output has a
	// catalog of its own.
	target := func(n int) (catalog string, r *scoringv1.RunBatchRequest) {
		catalog = fmt.Sprintf("kill%02d", n/2)
		return catalog, &scoringv1.RunBatchRequest{Model: ref("churn"), OutputTable: catalog + ".predictions.scores"}
	}
	var want content
	var receipt *scoringv1.Batch
	hits, phases, before := 0, map[string]int{}, map[string]int{}
	n := 0
	for ; n < mostKills && (n < kills || hits < killsHit); n++ {
		catalog, r := target(n)
		p := aim(rng, n, receipt)
		last := d.killDuring(t, r, p)
		phases[where(last)]++
		if last.GetPhase() == scoringv1.BatchPhase_BATCH_PHASE_COMMIT ||
			last.GetPhase() == scoringv1.BatchPhase_BATCH_PHASE_SCORE && last.GetRowsRead() > 0 {
			hits++
		}

		// As the crash left it: the batch is there once, or not at all.
		crashed := contents(t, dir, catalog, "predictions.scores")
		if len(crashed) > 1 {
			t.Fatalf("kill %d: the table has batches %v", n, crashed)
		}
		for id, c := range crashed {
			if c.Rows != bigRows || c.Keys != bigRows || want.Rows != 0 && c != want {
				t.Fatalf("kill %d in %s: batch %s is half there: %+v", n, where(last), id, c)
			}
		}
		if n%2 == 1 && len(crashed) == 0 {
			t.Fatalf("kill %d in %s: rows that were committed before are gone", n, where(last))
		}
		before[fmt.Sprintf("%d copies", len(crashed))]++

		d = start(t, command(config, dir))
		if left := staged(t, dir); len(left) != 0 {
			t.Fatalf("kill %d: a restart leaves %v", n, left)
		}
		if id := last.GetScoreBatchId(); id != "" && last.GetBatch() == nil {
			got, err := d.batches.GetBatch(t.Context(), &scoringv1.GetBatchRequest{ScoreBatchId: id})
			if err == nil && got.GetBatch().GetState() == scoringv1.BatchState_BATCH_STATE_RUNNING {
				t.Fatalf("kill %d: batch %s still runs after a restart", n, id)
			}
		}
		b := d.succeed(t, r)
		receipt = b
		if b.GetRows() != bigRows || b.GetReplaced() != (len(crashed) == 1) {
			t.Fatalf("kill %d: re-run %v", n, b)
		}
		if n == 0 {
			if err := d.terminate(t); err != nil {
				t.Fatalf("stopping: %v", err)
			}
			for id, c := range contents(t, dir, catalog, "predictions.scores") {
				want = c
				if id != b.GetScoreBatchId() || c.Rows != bigRows || c.Keys != bigRows {
					t.Fatalf("first batch: %s %+v", id, c)
				}
			}
			d = start(t, command(config, dir))
		}
	}
	if err := d.terminate(t); err != nil {
		t.Errorf("stopping: %v", err)
	}
	for i := range (n + 1) / 2 {
		catalog, _ := target(2 * i)
		got := contents(t, dir, catalog, "predictions.scores")
		for id, c := range got {
			if c != want {
				t.Errorf("batch %s: %+v, want %+v", id, c, want)
			}
		}
		if len(got) != 1 {
			t.Errorf("%s has %d batches", catalog, len(got))
		}
	}

	t.Logf("%d kills, %d between first read and commit; found at restart: %v", n, hits, before)
	var names []string
	for name := range phases {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		t.Logf("  %-26s %2d", name, phases[name])
	}
	if hits < killsHit {
		t.Errorf("only %d kills hit between first read and commit", hits)
	}
}
