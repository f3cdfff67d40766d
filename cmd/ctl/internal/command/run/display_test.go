package run

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// terminal understands what display writes: cursor up, erase to the end of the line and of the screen.
type terminal struct {
	mu    sync.Mutex
	lines []string
	row   int
}

var sequence = regexp.MustCompile("\x1b\\[([0-9]*)([A-Z])")

func (s *terminal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text := string(p); text != ""; {
		if at := sequence.FindStringSubmatchIndex(text); at != nil && at[0] == 0 {
			n := 1
			if number := text[at[2]:at[3]]; number != "" {
				n, _ = strconv.Atoi(number)
			}
			switch text[at[4]:at[5]] {
			case "A":
				if s.row -= n; s.row < 0 {
					return 0, fmt.Errorf("%d lines above the screen", -s.row)
				}
			case "K":
				s.set("")
			case "J":
				s.lines = s.lines[:min(s.row, len(s.lines))]
			default:
				return 0, fmt.Errorf("unknown sequence %q", text[at[0]:at[1]])
			}
			text = text[at[1]:]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		switch r {
		case '\r':
		case '\n':
			s.set(s.line())
			s.row++
		default:
			s.set(s.line() + string(r))
		}
		text = text[size:]
	}
	return len(p), nil
}

func (s *terminal) line() string {
	if s.row < len(s.lines) {
		return s.lines[s.row]
	}
	return ""
}

func (s *terminal) set(text string) {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, "")
	}
	s.lines[s.row] = text
}

func (s *terminal) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

func twoModels(began time.Time) *lifecyclev1.Run {
	return &lifecyclev1.Run{RunId: "r-1", Nodes: []*lifecyclev1.RunNode{
		{
			Id: "churn/train", ModelName: "churn", Step: lifecyclev1.RunStep_RUN_STEP_TRAIN, State: lifecyclev1.RunState_RUN_STATE_RUNNING,
			StartedAt: timestamppb.New(began), Message: "fit",
		},
		{Id: "churn/score", ModelName: "churn", Step: lifecyclev1.RunStep_RUN_STEP_SCORE, State: lifecyclev1.RunState_RUN_STATE_PENDING},
		{
			Id: "fraud/score", ModelName: "fraud", Step: lifecyclev1.RunStep_RUN_STEP_SCORE, State: lifecyclev1.RunState_RUN_STATE_PENDING,
			DependsOn: []string{"churn/score"},
		},
	}}
}

func TestDisplayRedrawsInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		screen := &terminal{}
		d := newDisplay(&console.Console{Err: screen, ErrTTY: true, ErrWidth: 40, ErrHeight: 24})
		r := twoModels(time.Now())
		d.update(r)
		want := func(what, tree string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(strings.TrimPrefix(tree, "\n"), screen.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		want("at first", `
churn
├─ ▶ train          0s  fit
└─ · score
fraud (after churn)
└─ · score`)
		time.Sleep(2500 * time.Millisecond) //nolint:forbidigo // the bubble's clock
		want("two ticks later", `
churn
├─ ▶ train          2s  fit
└─ · score
fraud (after churn)
└─ · score`)
		// A longer message is cut, a shorter tree leaves nothing behind, and control characters do not get through.
		n := r.GetNodes()[0]
		n.State, n.FinishedAt, n.Message = lifecyclev1.RunState_RUN_STATE_FAILED, timestamppb.Now(), "column \x1b[2J label has one value only"
		r.Nodes = r.GetNodes()[:2]
		r.Nodes[1].State = lifecyclev1.RunState_RUN_STATE_SKIPPED
		d.update(r)
		want("after the failure", `
churn
├─ ✗ train        2.5s  column �[2J lab…
└─ - score              skipped`)
		d.stop()
		want("after the end", "")
	})
}

func TestDisplayOnALowTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		screen := &terminal{}
		d := newDisplay(&console.Console{Err: screen, ErrTTY: true, ErrWidth: 40, ErrHeight: 4})
		r := twoModels(time.Now())
		for range 3 {
			d.update(r)
		}
		if diff := cmp.Diff("└─ · score\nfraud (after churn)\n└─ · score", screen.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		d.stop()
	})
}

func TestPlainLinesTellChangesOnce(t *testing.T) {
	var out bytes.Buffer
	d := newDisplay(&console.Console{Err: &out})
	began := time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC)
	r := twoModels(began)
	d.update(r)
	d.update(r)
	n := r.GetNodes()[0]
	n.Message = "evaluate"
	d.update(r)
	n.State, n.FinishedAt, n.Message = lifecyclev1.RunState_RUN_STATE_SUCCEEDED, timestamppb.New(began.Add(90*time.Second)), "version 5\nAUC 0.81"
	d.update(r)
	// A node that was left out took no time, and a long message is cut: the report has it.
	left := r.GetNodes()[1]
	left.State, left.StartedAt, left.FinishedAt = lifecyclev1.RunState_RUN_STATE_SKIPPED, timestamppb.New(began), timestamppb.New(began)
	left.Message = "train failed " + strings.Repeat("x", 100)
	d.update(r)
	d.stop()
	want := "churn/train: running: fit\nchurn/train: running: evaluate\nchurn/train: succeeded in 1m30s: version 5 AUC 0.81\n" +
		"churn/score: skipped: train failed " + strings.Repeat("x", 86) + "…\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
