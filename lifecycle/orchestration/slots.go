package orchestration

import "context"

// slots limit how many nodes of all runs work at the same time. A training takes one of both.
type slots struct{ nodes, trainings chan struct{} }

func newSlots(nodes, trainings int) *slots {
	return &slots{nodes: make(chan struct{}, nodes), trainings: make(chan struct{}, trainings)}
}

// take waits for a slot and returns what gives it back. wait is called when there is none at once. Everyone takes in the
// same order, trainings first, so nobody waits in a circle.
func (s *slots) take(ctx context.Context, training bool, wait func(what string)) (release func(), err error) {
	if training {
		if err := take(ctx, s.trainings, func() { wait("training") }); err != nil {
			return nil, err
		}
	}
	if err := take(ctx, s.nodes, func() { wait("node") }); err != nil {
		if training {
			<-s.trainings
		}
		return nil, err
	}
	return func() {
		<-s.nodes
		if training {
			<-s.trainings
		}
	}, nil
}

func take(ctx context.Context, slot chan struct{}, wait func()) error {
	select {
	case slot <- struct{}{}:
		return nil
	default:
	}
	wait()
	select {
	case slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
