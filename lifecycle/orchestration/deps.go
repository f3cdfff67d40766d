package orchestration

import "context"

// Features computes a model's feature table.
type Features interface {
	// Compute makes the rows of a date, or finds them made. A model whose table somebody else fills has nothing to do.
	Compute(ctx context.Context, model, date string) (summary string, err error)
}

// TrainingRequest asks for a training.
type TrainingRequest struct {
	Model, ComputeDate, Trigger, Reason, Actor, GitSHA string
	// Key is the same whenever the same node asks: one key is one training.
	Key string
}

// TrainingRef is an accepted training.
type TrainingRef struct {
	ID string
	// Joined: the model's active training was joined, which has another key.
	Joined bool
}

// TrainingResult is how a training ended.
type TrainingResult struct {
	Succeeded bool
	Version   int64  // Trained by it
	Summary   string // one line: figures, or why it failed and what to do
}

// Trainings makes versions.
type Trainings interface {
	// Trigger accepts a training, or finds the one of the same key.
	Trigger(ctx context.Context, r TrainingRequest) (TrainingRef, error)
	// Wait waits until the training has ended. It calls progress from one goroutine. A training that failed is a result.
	Wait(ctx context.Context, id string, progress func(string)) (TrainingResult, error)
	// Cancel ends the training that was accepted under the key. When there is none, or it has ended, there is nothing to
	// do. It need not wait for the end.
	Cancel(ctx context.Context, key, reason, actor string) error
}

// Verdict is what the gates say.
type Verdict struct {
	Passed      bool
	Conclusive  bool   // false: there was not enough to judge
	Explanation string // why the version is blocked, or that it is not, in words
}

// Gates judge versions.
type Gates interface {
	// Validate runs the gates and moves the version. A verdict is not an error. It calls progress from one goroutine.
	Validate(ctx context.Context, model string, version int64, actor string, progress func(string)) (Verdict, error)
	// Report returns the latest stored verdict.
	Report(ctx context.Context, model string, version int64) (Verdict, error)
}

// PromotionRequest asks for a promotion.
type PromotionRequest struct {
	Model   string
	Version int64
	// ExpectedGeneration is the generation at which alone the promotion may happen.
	ExpectedGeneration int64
	Reason, Actor      string
}

// Promotions changes Champions.
type Promotions interface {
	// Promote makes the version the Champion. An error says who won, when the generation is another one.
	Promote(ctx context.Context, r PromotionRequest) (summary string, err error)
}

// BatchResult is a batch that succeeded.
type BatchResult struct{ ID, Summary string }

// Batches scores with the present Champion.
type Batches interface {
	// Score runs the batch of a date; the same again replaces the same rows. It calls progress from one goroutine.
	Score(ctx context.Context, model, date string, progress func(string)) (BatchResult, error)
}
