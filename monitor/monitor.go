// Package monitor describes the rows that models see, and tells whether they changed.
//
//	records --Profiler--> Profile (counts in frozen bins, JSON)
//	Profile of the training + Profile of a batch --Detect--> Report (PSI above the noise floor, weighted by gain)
//	reference rows + current rows --DriftDetector--> Result (the compatible mode, docs/format/drift.md)
//
// A Service keeps profiles and reports in the store.
//
// # Why not p-values
//
// With 50 features and no drift at all, "any p < .05" fires in 92 of 100 cases, and at a million rows a shift of a
// hundredth of a standard deviation always has a small p. So the default mode asks for an effect: the population
// stability index must exceed both its threshold and what chance alone gives at these numbers of rows, and features that
// drift must hold a share of the model's gain. P-values are reported, corrected for their number.
//
// # Invariants
//
//	M1  The counts of a profile depend on the rows only: not on their order, on how they are cut into records, or on which
//	    of several merged profilers saw them. Means and standard deviations are sums of about 106 bits, rounded once:
//	    another order changes at most their last bit.
//	M2  The bins of a reference are frozen: everything compared with it is counted in them. Nulls, infinities, values below
//	    and above all of the reference, and categories that it does not have, are bins of their own.
//	M3  A profile made without bins takes its edges and categories from a sample of up to SampleRows rows, chosen by a hash
//	    of their content, so that M1 holds; up to that number of rows it is all of them. Counts, nulls, mean, deviation,
//	    minimum and maximum are of all rows.
//	M4  Two samples of the same distribution have the verdict drift in at most 1 of 100 cases, and fewer than 5 of 1000 of
//	    their features are flagged.
//
// # Cost
//
// A value costs 13 ns. A batch of a million rows of 28 floats with a model of 100 trees, over a warehouse that costs nothing,
// takes 5 % more processor time with its profile, which looks at BatchRows of its rows; all of them would take 64 %
// (scoring's BenchmarkStatistics: 554, 582 and 910 ns a row). A batch of up to BatchRows rows is looked at as a whole, which
// takes 25 ms at most.
//
// # Concurrency
//
// A Profiler belongs to one goroutine. A BatchRecorder and a Service serve any number. Profiles are plain data.
package monitor

import "errors"

// Sentinel errors.
var (
	// ErrNoData: there are no statistics of what was asked for. The message says how to get them.
	ErrNoData = errors.New("monitor: no statistics")
	// ErrInput: columns or options do not fit. The caller changes what the message names.
	ErrInput = errors.New("monitor: input does not fit")
)
