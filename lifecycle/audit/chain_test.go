package audit

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// TestVector holds the canonical JSON and the hashes to those of testdata/vector.py, which shares no code with them.
func TestVector(t *testing.T) {
	b, err := os.ReadFile("testdata/vector.json")
	if err != nil {
		t.Fatal(err)
	}
	var vector []struct {
		Entry struct {
			Seq            int64     `json:"seq"`
			At             time.Time `json:"ts"`
			Actor          string    `json:"actor"`
			AuthMethod     string    `json:"auth_method"`
			Action         string    `json:"action"`
			Model          string    `json:"model"`
			Version        int64     `json:"version"`
			FromStage      string    `json:"from_stage"`
			ToStage        string    `json:"to_stage"`
			Generation     int64     `json:"generation"`
			Reason         string    `json:"reason"`
			EvidenceDigest string    `json:"evidence_digest"`
			RequestID      string    `json:"request_id"`
		} `json:"entry"`
		Canonical string `json:"canonical"`
		PrevHash  string `json:"prev_hash"`
		Hash      string `json:"hash"`
	}
	if err := json.Unmarshal(b, &vector); err != nil {
		t.Fatal(err)
	}
	if len(vector) < 5 || vector[0].PrevHash != genesis() {
		t.Fatalf("vector has %d entries, its first prev_hash is %s", len(vector), vector[0].PrevHash)
	}
	for _, v := range vector {
		e := Entry{
			Seq: v.Entry.Seq, At: v.Entry.At, Actor: v.Entry.Actor, AuthMethod: v.Entry.AuthMethod,
			Action: v.Entry.Action, Model: v.Entry.Model, Version: v.Entry.Version, FromStage: v.Entry.FromStage,
			ToStage: v.Entry.ToStage, Generation: v.Entry.Generation, Reason: v.Entry.Reason,
			EvidenceDigest: v.Entry.EvidenceDigest, RequestID: v.Entry.RequestID, PrevHash: v.PrevHash,
		}
		if got := string(e.Canonical()); got != v.Canonical {
			t.Errorf("seq %d: canonical JSON is\n%s, want\n%s", e.Seq, got, v.Canonical)
		}
		if got := e.digest(); got != v.Hash {
			t.Errorf("seq %d: hash is %s, want %s", e.Seq, got, v.Hash)
		}
		if !json.Valid(e.Canonical()) {
			t.Errorf("seq %d: not JSON: %s", e.Seq, e.Canonical())
		}
	}
}
