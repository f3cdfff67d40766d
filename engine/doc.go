// Package engine compiles a forest into an immutable Program and scores blocks of rows with it.
//
//	forest.Model --Compile--> Program --Score(dst, Block)--> margins --Predict--> predictions
//
// Results are those of the library that trained the model, bit for bit: inputs are rounded to the library's input type,
// leaves are added in training order in the library's accumulator type, links use glibc's functions.
//
// # Invariants
//
//	E1  A row's margins depend only on that row's values: not on the block, its size, the kernel or the thread count.
//	E2  Score reads only the columns of features that some split reads (Program.Uses).
//	E3  Score and Predict do not allocate; scratch memory belongs to a pool of the Program.
//
// # Concurrency
//
// A Program is immutable and serves any number of goroutines. A Block has one writer; while it is scored nobody may
// write it, and any number of goroutines may score it.
//
// # Ownership
//
// Columns borrow the caller's slices until the Block is reset. Score keeps nothing: dst is the caller's.
package engine

import (
	"errors"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
)

// ErrShape reports a column, block or destination whose size or content does not fit the program. The caller must fix
// the call.
var ErrShape = errors.New("engine: shape does not fit the program")

// ErrModel reports a model that cannot be compiled. It wraps the reason, often a *forest.Error.
var ErrModel = errors.New("engine: model cannot be compiled")

// ErrTier reports that a tier of kernels was asked for that this processor or build does not have. The caller must ask for
// another one, or for none.
var ErrTier = kernel.ErrTier
