package scoring

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/treeline-ml/treeline/forest"
)

func TestModelsCompileOnce(t *testing.T) {
	var opened atomic.Int64
	gate := make(chan struct{})
	c := NewModels(func(context.Context, string) (*forest.Model, error) {
		opened.Add(1)
		<-gate
		return stump(), nil
	}, 2)
	defer c.Wait()
	// A caller that gives up does not take the compilation with it.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Load(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	var all sync.WaitGroup
	got := make([]*Loaded, 20)
	for i := range got {
		all.Go(func() {
			var err error
			if got[i], err = c.Load(t.Context(), "a"); err != nil {
				t.Error(err)
			}
		})
	}
	close(gate)
	all.Wait()
	if opened.Load() != 1 {
		t.Errorf("opened %d times", opened.Load())
	}
	for _, l := range got {
		if l != got[0] {
			t.Error("callers have different programs")
		}
	}
}

func TestModelsKeepTheMostRecent(t *testing.T) {
	opened := map[string]int{}
	c := NewModels(func(_ context.Context, digest string) (*forest.Model, error) {
		opened[digest]++
		return stump(), nil
	}, 2)
	defer c.Wait()
	for _, d := range []string{"a", "b", "a", "c", "a", "b", "a"} {
		if _, err := c.Load(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		c.Wait()
	}
	if opened["a"] != 1 || opened["b"] != 2 || opened["c"] != 1 || c.Len() != 2 {
		t.Errorf("opened %v, %d in the cache", opened, c.Len())
	}
}

func TestModelsForgetFailures(t *testing.T) {
	fail := true
	c := NewModels(func(context.Context, string) (*forest.Model, error) {
		if fail {
			return nil, errBroken
		}
		return stump(), nil
	}, 2)
	defer c.Wait()
	if _, err := c.Load(t.Context(), "a"); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	c.Wait()
	fail = false
	if _, err := c.Load(t.Context(), "a"); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestModelsRefuseBrokenModels(t *testing.T) {
	c := NewModels(func(context.Context, string) (*forest.Model, error) {
		m := stump()
		m.Trees[0].Nodes[0].Feature = 99
		return m, nil
	}, 2)
	defer c.Wait()
	if _, err := c.Load(t.Context(), "a"); err == nil {
		t.Error("compiled")
	}
}
