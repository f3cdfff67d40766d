// Package libm evaluates exp, expf, log, logf and log1p with the bits of glibc's libm.
//
// A link function is part of a training library's arithmetic: LightGBM's and XGBoost's Linux wheels call glibc, so a
// prediction is only equal to theirs if the exponential is. The functions here follow glibc 2.36 on x86-64
// with FMA: the table-driven algorithms of Szabolcs Nagy (exp, log and their float forms; Arm's optimized routines)
// and Sun's log1p, with a fused multiply-add exactly where that build contracts one. math.FMA is exact on every
// platform, so the results do not depend on where they are computed.
//
// # Invariants
//
//	L1  Every multiplication followed by an addition is either math.FMA or has its product converted explicitly, so
//	    the Go compiler cannot choose.
//	L2  The bits equal those in testdata (written by the C library itself, see golden.py).
//
// # Concurrency
//
// Pure functions over constant tables.
package libm
