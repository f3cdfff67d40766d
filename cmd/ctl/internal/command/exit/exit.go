// Package exit gives errors an exit code and the advice that is printed below them.
//
//	0  done
//	1  error
//	2  usage: the command line itself is wrong
//	3  a gate said no: the command worked, and its answer is "no"
package exit

import (
	"errors"
	"fmt"
)

// The exit codes. Scripts depend on them.
const (
	OK      = 0
	Failure = 1
	Misuse  = 2
	Refused = 3
)

// Error is an error with an exit code and advice.
type Error struct {
	Code int
	// Hint says what to do next, in one or two sentences; it may be empty.
	Hint string
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Usage is an error in the command line itself: exit code 2.
func Usage(hint, format string, args ...any) error {
	return &Error{Code: Misuse, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// Gate is the answer "no" of a command that worked: exit code 3.
func Gate(hint, format string, args ...any) error {
	return &Error{Code: Refused, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// Hinted adds advice to an error and keeps its exit code. A nil error stays nil.
func Hinted(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &Error{Code: Code(err), Hint: hint, Err: err}
}

// Code returns the exit code of an error: that of the outermost Error in its chain, else Failure.
func Code(err error) int {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Failure
}

// Hint returns the advice of the outermost Error in the chain that has any.
func Hint(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// Has reports whether the chain holds an Error.
func Has(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}
