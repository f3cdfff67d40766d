package orchestration

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The kinds of workflows.
const (
	kindRun   = "run"
	kindChain = "chain"
)

// plan is a run with everything that it needs to know, as its workflow's input: a change of the configuration does not
// change a run that was begun.
type plan struct {
	Chains  []chainPlan `json:"chains"` // what a chain depends on comes before it
	Date    string      `json:"compute_date"`
	Trigger string      `json:"trigger"`
	Reason  string      `json:"reason,omitempty"`
	Actor   string      `json:"actor,omitempty"`
	GitSHA  string      `json:"git_sha,omitempty"`
}

// chainPlan is one model's part of a run, and with its run's particulars the input of the model's workflow.
type chainPlan struct {
	Model     string   `json:"model"`
	DependsOn []string `json:"depends_on,omitempty"` // of the models in the run
	Steps     []Step   `json:"steps"`                // in order
	Policy    string   `json:"policy"`
	Owner     string   `json:"owner,omitempty"`
}

func (c chainPlan) has(s Step) bool { return slices.Contains(c.Steps, s) }

func (c chainPlan) last() Step { return c.Steps[len(c.Steps)-1] }

func nodeID(model string, s Step) string { return model + "/" + string(s) }

// of returns the plan of one model.
func (p plan) of(model string) (chainPlan, bool) {
	i := slices.IndexFunc(p.Chains, func(c chainPlan) bool { return c.Model == model })
	if i < 0 {
		return chainPlan{}, false
	}
	return p.Chains[i], true
}

// nodes are the nodes of the run, all pending.
func (p plan) nodes() []Node {
	var out []Node
	for _, c := range p.Chains {
		for i, s := range c.Steps {
			n := Node{ID: nodeID(c.Model, s), Model: c.Model, Step: s, State: Pending}
			if i > 0 {
				n.DependsOn = []string{nodeID(c.Model, c.Steps[i-1])}
			} else {
				for _, d := range c.DependsOn {
					other, _ := p.of(d)
					n.DependsOn = append(n.DependsOn, nodeID(d, other.last()))
				}
			}
			out = append(out, n)
		}
	}
	return out
}

// makePlan checks a request against the configured models.
func makePlan(configured []Model, r Request, now time.Time) (plan, error) {
	p := plan{Date: r.ComputeDate, Trigger: r.Trigger, Reason: r.Reason, Actor: r.Actor, GitSHA: r.GitSHA}
	if p.Trigger == "" {
		p.Trigger = "manual"
	}
	if p.Date == "" {
		p.Date = now.UTC().Format(time.DateOnly)
	}
	if _, err := time.Parse(time.DateOnly, p.Date); err != nil {
		return plan{}, fmt.Errorf("compute date %q is not a day such as 2026-11-02: %w", p.Date, ErrInvalid)
	}
	// Triggers put words and figures before a person's reason.
	if err := checkTexts(4*MaxText, r.Reason, r.Actor, r.GitSHA); err != nil {
		return plan{}, err
	}
	models, err := selected(configured, r)
	if err != nil {
		return plan{}, err
	}
	if models, err = ordered(configured, models); err != nil {
		return plan{}, err
	}
	for _, m := range models {
		c := chainPlan{Model: m.Name, Policy: m.Policy, Owner: m.Owner}
		if c.Policy == "" {
			c.Policy = PolicyAuto
		}
		if c.Policy != PolicyAuto && c.Policy != PolicyPropose {
			return plan{}, fmt.Errorf("model %s: promotion policy %q is neither %s nor %s: %w", m.Name, c.Policy, PolicyAuto, PolicyPropose, ErrInvalid)
		}
		if c.Steps, err = steps(m, r); err != nil {
			return plan{}, err
		}
		if len(c.Steps) == 0 {
			continue // of all models, one that none of the steps is for
		}
		for _, d := range m.DependsOn {
			if _, in := p.of(d); in {
				c.DependsOn = append(c.DependsOn, d)
			}
		}
		p.Chains = append(p.Chains, c)
	}
	if len(p.Chains) == 0 {
		return plan{}, fmt.Errorf("no configured model has any of the steps %v: %w", r.Steps, ErrInvalid)
	}
	return p, nil
}

// MaxText is the longest text that a person gives, in bytes.
const MaxText = 1000

// CheckTexts refuses what a person gave with ErrInvalid when it is too long, not UTF-8, or has a NUL in it: it goes into
// the audit log.
func CheckTexts(reason, actor, gitSHA string) error {
	return checkTexts(MaxText, reason, actor, gitSHA)
}

func checkTexts(most int, reason, actor, gitSHA string) error {
	for i, text := range []string{reason, actor, gitSHA} {
		name := []string{"reason", "actor", "git sha"}[i]
		switch {
		case len(text) > most:
			return fmt.Errorf("%s has %d bytes, at most %d: %w", name, len(text), most, ErrInvalid)
		case !utf8.ValidString(text):
			return fmt.Errorf("%s is not UTF-8: %w", name, ErrInvalid)
		case strings.ContainsRune(text, 0):
			return fmt.Errorf("%s has a NUL character: %w", name, ErrInvalid)
		}
	}
	return nil
}

// selected are the models of a request, each once.
func selected(configured []Model, r Request) ([]Model, error) {
	if r.All {
		if len(r.Models) > 0 {
			return nil, fmt.Errorf("all models and %s are asked for; ask for one or the other: %w", strings.Join(r.Models, ", "), ErrInvalid)
		}
		if len(configured) == 0 {
			return nil, fmt.Errorf("no model is configured: %w", ErrInvalid)
		}
		return configured, nil
	}
	if len(r.Models) == 0 {
		return nil, fmt.Errorf("no model is named; name one or ask for all: %w", ErrInvalid)
	}
	var out []Model
	for i, name := range r.Models {
		if slices.Contains(r.Models[:i], name) {
			return nil, fmt.Errorf("model %s is named twice: %w", name, ErrInvalid)
		}
		m, ok := find(configured, name)
		if !ok {
			return nil, unknown(configured, fmt.Sprintf("%q", name))
		}
		out = append(out, m)
	}
	return out, nil
}

func find(models []Model, name string) (Model, bool) {
	i := slices.IndexFunc(models, func(m Model) bool { return m.Name == name })
	if i < 0 {
		return Model{}, false
	}
	return models[i], true
}

// steps are the steps of a request that are for a model, in their order.
func steps(m Model, r Request) ([]Step, error) {
	for i, s := range r.Steps {
		if !slices.Contains(Steps(), s) {
			return nil, fmt.Errorf("step %q is none of %v: %w", s, Steps(), ErrInvalid)
		}
		if slices.Contains(r.Steps[:i], s) {
			return nil, fmt.Errorf("step %s is named twice: %w", s, ErrInvalid)
		}
	}
	wanted := func(s Step) bool { return len(r.Steps) == 0 || slices.Contains(r.Steps, s) }
	if len(r.Steps) > 0 && wanted(StepTrain) && wanted(StepPromote) && !wanted(StepValidate) {
		return nil, fmt.Errorf("a trained version is not promoted before it is validated; add the step %s: %w", StepValidate, ErrInvalid)
	}
	var out []Step
	for _, s := range Steps() {
		training := s == StepTrain || s == StepValidate || s == StepPromote
		switch {
		case !wanted(s):
		case !training || m.Trainable:
			out = append(out, s)
		case s == StepTrain && len(r.Steps) > 0 && !r.All:
			return nil, fmt.Errorf("model %s has no trainer_class, so it cannot be trained: %w", m.Name, ErrInvalid)
		case s != StepTrain && len(r.Steps) > 0:
			out = append(out, s) // a version that somebody registered
		}
	}
	return out, nil
}

// Check finds models that are configured twice, depend on models that are not, or depend on themselves.
func Check(configured []Model) error {
	_, err := ordered(configured, configured)
	return err
}

// ordered sorts models so that each comes after those it depends on, and otherwise in the given order. It follows
// dependencies outside the given models, too: a circle through one of them is an error all the same.
func ordered(configured, models []Model) ([]Model, error) {
	const (
		open = 1
		done = 2
	)
	var (
		state = map[string]int{}
		path  []string
		out   []Model
		visit func(m Model) error
	)
	visit = func(m Model) error {
		switch state[m.Name] {
		case done:
			return nil
		case open:
			circle := append(slices.Clone(path[slices.Index(path, m.Name):]), m.Name)
			return fmt.Errorf("models depend on each other in a circle: %s: %w", strings.Join(circle, " -> "), ErrInvalid)
		}
		state[m.Name] = open
		path = append(path, m.Name)
		for i, name := range m.DependsOn {
			d, ok := find(configured, name)
			if !ok {
				return fmt.Errorf("depends_on of model %s: %w", m.Name, unknown(configured, fmt.Sprintf("%q", name)))
			}
			if slices.Contains(m.DependsOn[:i], name) {
				return fmt.Errorf("depends_on of model %s names %s twice: %w", m.Name, name, ErrInvalid)
			}
			if err := visit(d); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		state[m.Name] = done
		if _, wanted := find(models, m.Name); wanted {
			out = append(out, m)
		}
		return nil
	}
	for i, m := range models {
		if _, twice := find(models[:i], m.Name); twice || m.Name == "" {
			return nil, fmt.Errorf("model %q is configured twice or has no name: %w", m.Name, ErrInvalid)
		}
		if err := visit(m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// unknown is ErrUnknownModel with the nearest name, or all of them when none is near.
func unknown(configured []Model, what string) error {
	var names []string
	best, distance := "", 0
	for _, m := range configured {
		names = append(names, m.Name)
		if d := edits(strings.Trim(what, `"`), m.Name); best == "" || d < distance {
			best, distance = m.Name, d
		}
	}
	switch {
	case len(names) == 0:
		return fmt.Errorf("%w: %s; none is", ErrUnknownModel, what)
	case distance <= max(2, len(best)/3):
		return fmt.Errorf("%w: %s; did you mean %q?", ErrUnknownModel, what, best)
	case len(names) > 20:
		return fmt.Errorf("%w: %s; %d others are", ErrUnknownModel, what, len(names))
	default:
		return fmt.Errorf("%w: %s; configured: %s", ErrUnknownModel, what, strings.Join(names, ", "))
	}
}

// edits is the edit distance of Levenshtein, in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
