// Package frame binds Arrow columns to engine blocks by name and turns scores into Arrow columns.
//
//	arrow.Schema --NewBinding--> Binding --Bind(record)--> engine.Block --engine--> margins, predictions
//	predictions --ScoreColumns | OutputSpec.Record--> arrow columns
//
// # Invariants
//
//	F1  A feature reads the column of its name or nothing: no column is guessed, and an absent one is an error.
//	F2  Every fault of a schema is reported at once, in one *SchemaError.
//	F3  Null is missing. Unknown categories follow Feature.Unknown: missing, or a Refusal of that row alone.
//	F4  Numbers become float64 as the training library reads them; decimals are rounded once, correctly.
//	F5  Bind allocates nothing per row: primitive columns are viewed in place, conversions reuse the Binding's buffers.
//	F6  Error texts and reasons carry no row values.
//
// # Concurrency
//
// A Binding belongs to one goroutine at a time. OutputSpec and the functions are safe for any number.
//
// # Ownership
//
// A Block bound to a record refers to the record's memory and to the Binding's buffers: release the record and call Bind
// again only when the Block has been scored. Refusals are valid until the next Bind.
package frame
