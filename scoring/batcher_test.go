package scoring

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/warehouse"
)

func mustRun(t testing.TB, b *Batcher, req Request) Batch {
	t.Helper()
	batch, err := b.Run(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func TestRunWritesStampedRows(t *testing.T) {
	const rows = 1234
	s := newShelf(t, features(rows))
	now := time.Date(2026, 11, 2, 3, 4, 5, 678901234, time.UTC)
	b, ledger := newTestBatcher(t, s, func(d *Deps) { d.Now = func() time.Time { return now } })
	var events []Event
	batch, err := b.Run(t.Context(), Request{Model: "m"}, func(e Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}

	got := s.rows(batch.ID)
	if len(got) != rows {
		t.Fatalf("%d rows, want %d", len(got), rows)
	}
	positive, sum, digest, histogram := 0, new(big.Rat), new(big.Int), make([]int64, 100)
	for r, row := range got {
		p := stumpScore(xOf(r), zOf(r))
		label := int32(0)
		if p >= 0.5 {
			label = 1
			positive++
		}
		want := map[string]any{
			"id": int64(r), "m_probability": p, "m_predicted": label, "model_version": int64(3), "run_id": "run-3",
			"scored_at": now.Truncate(time.Microsecond), "score_batch_id": string(batch.ID), "model_name": "m",
			"trained_at": testPinned().TrainedAt, "git_sha": "abc", "model_digest": testDigest,
		}
		if diff := cmp.Diff(want, row); diff != "" {
			t.Fatalf("row %d (-want +got):\n%s", r, diff)
		}
		sum.Add(sum, new(big.Rat).SetFloat64(p))
		histogram[int(p*100)]++
		// docs/format/output-digest.md for an integer key and one score.
		message := binary.LittleEndian.AppendUint64([]byte{0x01}, uint64(r))
		message = binary.LittleEndian.AppendUint64(append(message, 0x10), math.Float64bits(p))
		h := sha256.Sum256(message)
		slices.Reverse(h[:16])
		digest.Add(digest, new(big.Int).SetBytes(h[:16]))
	}
	digest.Mod(digest, new(big.Int).Lsh(big.NewInt(1), 128))
	mean, _ := sum.Quo(sum, big.NewRat(rows, 1)).Float64()
	if want := hex.EncodeToString(digest.FillBytes(make([]byte, 16))); batch.OutputDigest != want {
		t.Errorf("output digest %s, want %s", batch.OutputDigest, want)
	}
	if batch.Profile.Mean != mean || batch.Profile.PositiveRate != float64(positive)/rows || !slices.Equal(batch.Profile.Histogram, histogram) {
		t.Errorf("profile %+v, want mean %v, positive rate %v, histogram %v", batch.Profile, mean, float64(positive)/rows, histogram)
	}
	if batch.Profile.Min != stumpScore(0, 1) || batch.Profile.Max != stumpScore(1, -1) {
		t.Errorf("profile %+v", batch.Profile)
	}
	if batch.State != StateSucceeded || batch.Phase != PhaseDone || batch.Rows != rows || batch.Attempt != 1 || batch.Replaced {
		t.Errorf("batch %+v", batch)
	}
	if batch.Lineage.Pinned != testPinned() || batch.Lineage.EngineBuild == "" || batch.Lineage.FeatureSchemaHash == "" {
		t.Errorf("lineage %+v", batch.Lineage)
	}
	if batch.InputSource != "a.b.features" || batch.InputVersion != "v1234" || batch.Output.String() != "a.b.out" {
		t.Errorf("batch %+v", batch)
	}
	var steps []string
	for _, tm := range batch.Timings {
		steps = append(steps, tm.Step)
	}
	if want := []string{"resolve", "snapshot", "read", "bind", "score", "stamp", "write", "commit", "total"}; !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
	last := events[len(events)-1]
	if !last.Last() || last.RowsRead != rows || last.RowsScored != rows || last.RowsWritten != rows || last.RowsTotal != rows || last.Phase != PhaseDone {
		t.Errorf("last event %+v", last)
	}
	stored, err := b.Get(t.Context(), batch.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(batch, stored); diff != "" {
		t.Errorf("ledger (-returned +stored):\n%s", diff)
	}
	if !slices.Equal(ledger.phases, []Phase{PhaseCommit}) {
		t.Errorf("phases %v", ledger.phases)
	}
}

func TestRerunReplacesTheSameRows(t *testing.T) {
	s := newShelf(t, features(500))
	b, _ := newTestBatcher(t, s, nil)
	first := mustRun(t, b, Request{Model: "m"})
	second := mustRun(t, b, Request{Model: "m", Version: 3})
	if second.ID != first.ID || second.OutputDigest != first.OutputDigest || !second.Replaced || second.Attempt != 2 {
		t.Errorf("first %+v\nsecond %+v", first, second)
	}
	if len(s.output) != 1 || len(s.rows(first.ID)) != 500 {
		t.Errorf("%d batches, %d rows", len(s.output), len(s.rows(first.ID)))
	}
	for name, req := range map[string]Request{
		"output": {Model: "m", OutputTable: "a.b.other"}, "file": {Model: "m", OutputFile: "/x/out.parquet"}, "input": {Model: "m", InputFiles: "x.csv"},
		"name": {Model: "m", InputFiles: "x.csv", InputName: "upload:x.csv"},
	} {
		if other := mustRun(t, b, req); other.ID == first.ID {
			t.Errorf("another %s has the same id", name)
		}
	}
	s.table.version = "v2"
	if other := mustRun(t, b, Request{Model: "m"}); other.ID == first.ID {
		t.Error("other rows have the same id")
	}
}

// A configured file is a target of its own, by the day of the batch.
func TestOutputFile(t *testing.T) {
	cfg := testConfig()
	cfg.DateColumn, cfg.Output = "day", warehouse.Output{File: "/x/{date}/scores-{date}.parquet"}
	for name, c := range map[string]struct {
		req  Request
		want string
	}{
		"configured": {Request{}, "/x/all/scores-all.parquet"},
		"a day":      {Request{Date: "2026-03-01"}, "/x/2026-03-01/scores-2026-03-01.parquet"},
		"another":    {Request{OutputFile: "/y/../z/s.PARQUET"}, "/z/s.PARQUET"},
		"a table":    {Request{OutputTable: "a.b.c"}, "a.b.c"},
	} {
		got, err := output(cfg, c.req)
		if err != nil || got.String() != c.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
		}
		back, err := warehouse.ParseOutput(got.String())
		if err != nil || back != got {
			t.Errorf("%s: %s is read back as %+v, %v", name, got, back, err)
		}
	}
}

// S5: threads, record sizes and budgets change neither a row nor the profile nor the digest.
func TestResultsDoNotDependOnThePipeline(t *testing.T) {
	const rows = 3000
	var want Batch
	for i, o := range []Options{
		{Threads: 1, BatchRows: rows},
		{Threads: 1, BatchRows: 1},
		{Threads: 2, BatchRows: 7},
		{Threads: 8, BatchRows: 100},
		{Threads: 3, BatchRows: 500, MemoryBudget: 1},
		{Threads: 4, BatchRows: 64, MemoryBudget: 16 << 10},
	} {
		s := newShelf(t, features(rows))
		b, _ := newTestBatcher(t, s, func(d *Deps) { d.Options = o })
		got := mustRun(t, b, Request{Model: "m"})
		for r, row := range s.rows(got.ID) {
			if row["id"] != int64(r) {
				t.Fatalf("%+v: row %d has id %v: rows are out of order", o, r, row["id"])
			}
		}
		if i == 0 {
			want = got
			continue
		}
		if got.ID != want.ID || got.OutputDigest != want.OutputDigest {
			t.Errorf("%+v: id %s, digest %s; want %s, %s", o, got.ID, got.OutputDigest, want.ID, want.OutputDigest)
		}
		if diff := cmp.Diff(want.Profile, got.Profile); diff != "" {
			t.Errorf("%+v: %s", o, diff)
		}
	}
}

// S6: while nothing can be written, reading stops at the budget.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, features(20_000))
		hold := make(chan struct{})
		s.at = func(_ context.Context, step string, _ int) error {
			if step == "write" {
				<-hold
			}
			return nil
		}
		// 100 rows of an int64, a float64 and a float32 with a bitmap, and their scores: about 6 KB a record.
		b, _ := newTestBatcher(t, s, func(d *Deps) {
			d.Options = Options{Threads: 2, BatchRows: 100, MemoryBudget: 64 << 10}
		})
		w, err := b.Start(t.Context(), Request{Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // every goroutine is stuck
		if s.reading < 400 || s.reading > 1100 {
			t.Errorf("%d rows are in flight, the budget is for about 800", s.reading)
		}
		close(hold)
		for e := (Event{}); !e.Last(); {
			if e, err = w.Next(t.Context()); err != nil || e.Err != nil {
				t.Fatal(err, e.Err)
			}
		}
	})
}

func TestConcurrentRunsOfOneBatchJoin(t *testing.T) {
	s := newShelf(t, features(1000))
	const callers = 16
	var inputs sync.WaitGroup
	inputs.Add(callers)
	s.at = func(_ context.Context, step string, _ int) error {
		if step == "commit" {
			inputs.Wait() // a run that joins lets go of its input, the one that leads did so before it commits
		}
		return nil
	}
	b, _ := newTestBatcher(t, s, nil)
	var all sync.WaitGroup
	batches := make([]Batch, callers)
	released := make([]int, callers)
	for i := range callers {
		all.Go(func() {
			var err error
			batches[i], err = b.Run(t.Context(), Request{Model: "m", Release: func() {
				released[i]++
				inputs.Done()
			}}, nil)
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, batch := range batches {
		if diff := cmp.Diff(batches[0], batch); diff != "" {
			t.Errorf("caller %d has another batch:\n%s", i, diff)
		}
	}
	if n := len(s.rows(batches[0].ID)); n != 1000 {
		t.Errorf("%d rows", n)
	}
	if err := b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, n := range released {
		if n != 1 {
			t.Errorf("input of caller %d was released %d times", i, n)
		}
	}
}

func TestDateSelectsADay(t *testing.T) {
	s := newShelf(t, features(10))
	b, _ := newTestBatcher(t, s, func(d *Deps) { d.Configs[0].DateColumn = "label" })
	one := mustRun(t, b, Request{Model: "m", Date: "2026-11-02"})
	all := mustRun(t, b, Request{Model: "m"})
	if one.InputDate != "2026-11-02" || one.ID == all.ID {
		t.Errorf("%+v\n%+v", one, all)
	}
}

func TestWatch(t *testing.T) {
	s := newShelf(t, features(3000))
	hold := make(chan struct{})
	s.at = func(_ context.Context, step string, n int) error {
		if step == "write" && n == 2 {
			<-hold
		}
		return nil
	}
	b, _ := newTestBatcher(t, s, nil)
	first, err := b.Start(t.Context(), Request{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	for e.RowsWritten == 0 {
		if e, err = first.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	late, err := b.Watch(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	// A watcher that never looks does not hold the batch up.
	if _, err := b.Watch(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	impatient, err := b.Watch(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	cancel(errBroken)
	for {
		if _, err = impatient.Next(ctx); err != nil {
			break
		}
	}
	if !errors.Is(err, errBroken) {
		t.Errorf("impatient watcher: %v", err)
	}
	close(hold)
	previous := Event{}
	for {
		got, err := late.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.RowsRead < previous.RowsRead || got.RowsScored < previous.RowsScored || got.RowsWritten < previous.RowsWritten ||
			got.RowsWritten > got.RowsScored || got.RowsScored > got.RowsRead {
			t.Fatalf("%+v after %+v", got, previous)
		}
		previous = got
		if got.Last() {
			break
		}
	}
	if previous.Batch == nil || previous.Batch.State != StateSucceeded || previous.RowsWritten != 3000 {
		t.Errorf("last event %+v", previous)
	}
	if _, err := late.Next(t.Context()); err == nil || err.Error() != "EOF" {
		t.Errorf("after the last event: %v", err)
	}
	after, err := b.Watch(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := after.Next(t.Context()); err != nil || got.Batch == nil || got.Batch.State != StateSucceeded {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := b.Watch(t.Context(), "unknown"); !errors.Is(err, ErrBatchNotFound) {
		t.Errorf("unknown batch: %v", err)
	}
}

// Dropping the call does not stop the batch.
func TestCallerGivesUp(t *testing.T) {
	s := newShelf(t, features(1000))
	ctx, cancel := context.WithCancel(t.Context())
	s.at = func(_ context.Context, step string, n int) error {
		if step == "read" && n == 2 {
			cancel()
		}
		return nil
	}
	b, ledger := newTestBatcher(t, s, nil)
	if _, err := b.Run(ctx, Request{Model: "m"}, nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, batch := range ledger.rows {
		if batch.State != StateSucceeded {
			t.Errorf("%+v", batch)
		}
	}
}

func TestDrain(t *testing.T) { synctest.Test(t, testDrain) }

func testDrain(t *testing.T) {
	s := newShelf(t, features(1000))
	started := make(chan struct{})
	s.at = func(ctx context.Context, step string, n int) error {
		if step == "write" && n == 3 {
			close(started)
			<-ctx.Done()
		}
		return nil
	}
	b, ledger := newTestBatcher(t, s, nil)
	w, err := b.Start(t.Context(), Request{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of the bubble
	defer cancel()
	if err := b.Drain(ctx); !errors.Is(err, ErrInterrupted) {
		t.Errorf("Drain: %v", err)
	}
	if _, err := b.Start(t.Context(), Request{Model: "m"}); !errors.Is(err, ErrDraining) {
		t.Errorf("Start while draining: %v", err)
	}
	for {
		e, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e.Last() {
			if !errors.Is(e.Err, ErrInterrupted) || e.Batch.State != StateInterrupted || ledger.rows[e.ID].State != StateInterrupted || ledger.rows[e.ID].Rows != 0 {
				t.Errorf("%+v", e)
			}
			break
		}
	}
	if len(s.output) != 0 {
		t.Error("an interrupted batch has rows")
	}
}
