package orchestration

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 2, 23, 30, 0, 0, time.FixedZone("", -3600)) // the 3rd in UTC

func TestPlanRefuses(t *testing.T) {
	models := trainable("churn", "fraud", "price")
	models[1].DependsOn = []string{"price"}
	byHand := append(trainable("churn"), Model{Name: "manual"})
	circle := trainable("a", "b", "c", "d")
	circle[0].DependsOn, circle[1].DependsOn, circle[2].DependsOn = []string{"b"}, []string{"c"}, []string{"a"}
	self := trainable("a")
	self[0].DependsOn = []string{"a"}
	dangling := trainable("a")
	dangling[0].DependsOn = []string{"prise"}
	twice := trainable("a", "b")
	twice[0].DependsOn = []string{"b", "b"}
	policy := trainable("a")
	policy[0].Policy = "maybe"
	for name, c := range map[string]struct {
		models  []Model
		request Request
		want    error
		words   string
	}{
		"nothing":           {models, Request{}, ErrInvalid, "no model is named"},
		"all and some":      {models, Request{All: true, Models: []string{"churn"}}, ErrInvalid, "one or the other"},
		"unknown, near":     {models, Request{Models: []string{"chrun"}}, ErrUnknownModel, `"chrun"; did you mean "churn"?`},
		"unknown, far":      {models, Request{Models: []string{"weather"}}, ErrUnknownModel, "configured: churn, fraud, price"},
		"none configured":   {nil, Request{Models: []string{"churn"}}, ErrUnknownModel, "none is"},
		"all of none":       {nil, Request{All: true}, ErrInvalid, "no model is configured"},
		"duplicate":         {models, Request{Models: []string{"churn", "fraud", "churn"}}, ErrInvalid, "churn is named twice"},
		"configured twice":  {append(trainable("churn"), trainable("churn")...), Request{All: true}, ErrInvalid, `"churn" is configured twice`},
		"circle":            {circle, Request{All: true}, ErrInvalid, "in a circle: a -> b -> c -> a"},
		"circle from aside": {circle, Request{Models: []string{"b"}}, ErrInvalid, "in a circle: b -> c -> a -> b"},
		"self":              {self, Request{All: true}, ErrInvalid, "in a circle: a -> a"},
		"dangling":          {dangling, Request{All: true}, ErrUnknownModel, `depends_on of model a`},
		"depends twice":     {twice, Request{All: true}, ErrInvalid, "names b twice"},
		"bad policy":        {policy, Request{All: true}, ErrInvalid, `"maybe" is neither auto nor propose`},
		"bad date":          {models, Request{All: true, ComputeDate: "2026-02-30"}, ErrInvalid, "2026-02-30"},
		"long reason":       {models, Request{All: true, Reason: strings.Repeat("a", 4001)}, ErrInvalid, "reason has 4001 bytes, at most 4000"},
		"actor not UTF-8":   {models, Request{All: true, Actor: "\xff"}, ErrInvalid, "actor is not UTF-8"},
		"NUL":               {models, Request{All: true, GitSHA: "a\x00"}, ErrInvalid, "git sha has a NUL"},
		"bad step":          {models, Request{All: true, Steps: []Step{"trian"}}, ErrInvalid, `step "trian"`},
		"step twice":        {models, Request{All: true, Steps: []Step{StepScore, StepScore}}, ErrInvalid, "score is named twice"},
		"unjudged":          {models, Request{All: true, Steps: []Step{StepTrain, StepPromote}}, ErrInvalid, "add the step validate"},
		"no trainer":        {byHand, Request{Models: []string{"manual"}, Steps: []Step{StepTrain}}, ErrInvalid, "no trainer_class"},
		"none trains":       {byHand[1:], Request{All: true, Steps: []Step{StepTrain}}, ErrInvalid, "no configured model has"},
	} {
		_, err := makePlan(c.models, c.request, now)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.words)
		}
	}
	// What is wrong elsewhere does not matter to models that have nothing to do with it.
	if _, err := makePlan(circle, Request{Models: []string{"d"}}, now); err != nil {
		t.Error(err)
	}
	if err := Check(circle); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if err := Check(models); err != nil {
		t.Error(err)
	}
}

func TestPlan(t *testing.T) {
	models := trainable("fraud", "churn", "price")
	models[0].DependsOn = []string{"price"}
	models = append(models, Model{Name: "manual", DependsOn: []string{"churn"}})
	p, err := makePlan(models, Request{All: true}, now)
	if err != nil {
		t.Fatal(err)
	}
	if p.Date != "2026-11-03" || p.Trigger != "manual" {
		t.Errorf("%+v", p)
	}
	var ids []string
	for _, n := range p.nodes() {
		ids = append(ids, n.ID+"<"+strings.Join(n.DependsOn, ","))
	}
	want := []string{
		"price/features<", "price/train<price/features", "price/validate<price/train", "price/promote<price/validate", "price/score<price/promote",
		"fraud/features<price/score", "fraud/train<fraud/features", "fraud/validate<fraud/train", "fraud/promote<fraud/validate", "fraud/score<fraud/promote",
		"churn/features<", "churn/train<churn/features", "churn/validate<churn/train", "churn/promote<churn/validate", "churn/score<churn/promote",
		"manual/features<churn/score", "manual/score<manual/features",
	}
	if !slices.Equal(ids, want) {
		t.Errorf("got %v\nwant %v", ids, want)
	}
	// Dependencies on models that are not in the run do not matter; steps come in their order, not the request's.
	p, err = makePlan(models, Request{Models: []string{"fraud"}, Steps: []Step{StepScore, StepValidate}}, now)
	if err != nil || len(p.nodes()) != 2 || p.nodes()[0].ID != "fraud/validate" || len(p.nodes()[0].DependsOn) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	// Of all models, those without a trainer are left out of training, and of what depends on them.
	p, err = makePlan(models, Request{All: true, Steps: []Step{StepTrain}}, now)
	if err != nil || len(p.Chains) != 3 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"churn", "chrun", 2}, {"flaw", "lawn", 2}} {
		if got := edits(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d edits, want %d", c.a, c.b, got, c.want)
		}
	}
}
