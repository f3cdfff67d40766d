package scoring

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"golang.org/x/sys/unix"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/warehouse"
)

// tally notes what a batch shows its statistics.
type tally struct {
	mu       sync.Mutex
	columns  []string
	rows     int64
	ids      map[int64]int
	misplace int
	finished []Batch
	leaveOut bool
	err      error
}

func (s *tally) Begin(_ context.Context, b Batch, input warehouse.Ref, columns []string) Recorder {
	if s.leaveOut {
		return nil
	}
	s.columns, s.rows, s.ids = columns, input.Rows, map[int64]int{}
	if b.ID == "" || b.Lineage.Version != testPinned().Version {
		s.misplace++
	}
	return s
}

func (s *tally) Add(first int64, rec arrow.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := rec.Column(rec.Schema().FieldIndices("id")[0]).(*array.Int64)
	for i := range ids.Len() {
		s.ids[ids.Value(i)]++
		if ids.Value(i) != first+int64(i) {
			s.misplace++
		}
	}
}

func (s *tally) Finish(_ context.Context, b Batch) error {
	s.finished = append(s.finished, b)
	return s.err
}

func TestStatisticsSeeEveryRowOnce(t *testing.T) {
	for _, c := range []struct {
		leaveOut bool
		err      error
	}{{false, nil}, {false, errors.New("no room")}, {true, nil}} {
		s := &tally{leaveOut: c.leaveOut, err: c.err}
		b, _ := newTestBatcher(t, newShelf(t, features(1234)), func(d *Deps) { d.Profiles = s })
		batch, err := b.Run(t.Context(), Request{Model: "m"}, nil)
		if err != nil || batch.State != StateSucceeded {
			t.Fatalf("statistics that fail with %v: batch %s, %v", c.err, batch.State, err)
		}
		timed := slices.ContainsFunc(batch.Timings, func(t Timing) bool { return t.Step == "profile" })
		if timed == c.leaveOut {
			t.Errorf("left out %v, timed %v", c.leaveOut, timed)
		}
		if c.leaveOut {
			continue
		}
		if s.rows != 1234 || len(s.ids) != 1234 || s.misplace != 0 || !slices.Equal(s.columns, []string{"x", "z"}) {
			t.Errorf("%d rows announced, %d seen, %d misplaced, columns %v", s.rows, len(s.ids), s.misplace, s.columns)
		}
		for id, n := range s.ids {
			if n != 1 {
				t.Errorf("row %d was seen %d times", id, n)
			}
		}
		if len(s.finished) != 1 || s.finished[0].ID != batch.ID {
			t.Errorf("finished %+v", s.finished)
		}
	}
}

func TestFailedBatchesHaveNoStatistics(t *testing.T) {
	for _, step := range []string{"write", "commit"} {
		shelf := newShelf(t, features(500))
		shelf.at = func(_ context.Context, at string, _ int) error {
			if at == step {
				return errors.New("broken")
			}
			return nil
		}
		s := &tally{}
		b, _ := newTestBatcher(t, shelf, func(d *Deps) { d.Profiles = s })
		if _, err := b.Run(t.Context(), Request{Model: "m"}, nil); err == nil {
			t.Fatalf("a broken %s goes unnoticed", step)
		}
		if len(s.finished) != 0 {
			t.Errorf("a batch that failed at its %s has statistics", step)
		}
	}
}

// observer is a Profiles of monitor's recorders.
type observer struct{ rows int64 }

func (o *observer) Begin(_ context.Context, _ Batch, input warehouse.Ref, columns []string) Recorder {
	rows := o.rows
	if rows == 0 {
		rows = input.Rows
	}
	r, err := monitor.NewBatchRecorder(monitor.FieldsOf(input.Schema, columns, nil), nil, rows)
	if err != nil {
		panic(err)
	}
	p, err := r.Profile() // of no rows: its bins are one each
	if err != nil {
		panic(err)
	}
	for i := range p.Features {
		p.Features[i].Edges = []float64{0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1}
	}
	if r, err = monitor.NewBatchRecorder(monitor.FieldsOf(input.Schema, columns, nil), p.FrozenBins(), rows); err != nil {
		panic(err)
	}
	return &recording{r}
}

type recording struct{ *monitor.BatchRecorder }

func (r *recording) Finish(context.Context, Batch) error {
	_, err := r.Profile()
	return err
}

// cpu is the processor time of this process, which other work on the machine does not change.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStatistics shows what the statistics of a batch cost, beside the batch without them: 1M rows x 28 features, 100
// trees, a warehouse that costs nothing.
func BenchmarkStatistics(b *testing.B) {
	const rows = 1 << 20
	model := benchForest(100)
	s := benchSink(model, rows)
	defer s.rec.Release()
	for name, p := range map[string]Profiles{
		"none": nil, "sample": &observer{}, "all": &observer{rows: 1}, // a batch of one row is looked at as a whole
	} {
		b.Run(name, func(b *testing.B) {
			batcher, err := NewBatcher(Deps{
				Resolver:  champion{testPinned()},
				Models:    NewModels(func(context.Context, string) (*forest.Model, error) { return model, nil }, 0),
				Warehouse: s, Ledger: newNotebook(), Configs: []ModelConfig{testConfig()}, Profiles: p,
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				if _, err := batcher.Run(b.Context(), Request{Model: "m"}, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/rows, "cpu-ns/row")
		})
	}
}
