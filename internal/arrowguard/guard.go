// Package arrowguard is the only door for bytes that claim to be Arrow IPC: streams, single messages, files, and the
// schema that Parquet files carry.
//
// Arrow's Go reader has no size limits and trusts its metadata: a few hundred forged bytes make it allocate gigabytes,
// index outside its buffers or overflow the stack, and the last two end the process. Here one parser both verifies the
// metadata and builds the arrays from it, so that there is no second reading of the same bytes that could disagree with
// the first. (The rejected design verified the bytes and then handed them to ipc.Reader through a MessageReader: every
// buffer is then copied once more, and two parsers must agree on every byte.)
//
//	bytes --framing--> message --verified flatbuffer--> schema | dictionary | record batch --value checks--> arrow.Record
//
// # Invariants
//
//	G1  Memory is proportional to the bytes received, and below Limits.MaxAllocBytes. No length field is believed
//	    before the bytes that it announces have arrived or been bounded.
//	G2  Metadata offsets lead strictly forward and stay inside the message, and no byte range is visited more often
//	    than unshared data of its size would need.
//	G3  A record that is returned can be read by any Arrow code without a panic: buffers hold the rows they announce,
//	    offsets are monotone and in range, dictionary indices are in range, null counts are true, text is UTF-8.
//	G4  A stream that ends without its end-of-stream marker is an error, so a cut stream never looks complete.
//
// # What is refused by name
//
// Nested and view types, big-endian data, dictionaries inside dictionaries, streams written before Arrow 0.15, Feather
// version 1, compressed bodies unless Limits.AllowCompression, dictionary replacement in files.
//
// # Concurrency
//
// A Reader, MessageDecoder, File or Encoder belongs to one goroutine at a time. Records may be shared once returned.
//
// # Ownership
//
// Records are the caller's to Release; they stay valid after Close. Bytes given to MessageDecoder.Decode may be
// referenced by the record that it returns and must not change while that record lives.
package arrowguard
