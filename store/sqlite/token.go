package sqlite

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/treeline-ml/treeline/store"
)

// A page token is base64url of {"s": the listing and its filters, "k": the key of the last row}. It holds nothing that
// the listing did not show; the scope keeps a token of one listing from being used on another.
type token struct {
	Scope string          `json:"s"`
	Key   json.RawMessage `json:"k"`
}

func sealToken(scope string, key any) (string, error) {
	k, err := json.Marshal(key)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(token{Scope: scope, Key: k})
	return base64.RawURLEncoding.EncodeToString(b), err
}

func openToken(scope, text string, key any) error {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("%w: not base64url", store.ErrPageToken)
	}
	var t token
	if err := json.Unmarshal(b, &t); err != nil {
		return fmt.Errorf("%w: not one of ours", store.ErrPageToken)
	}
	if t.Scope != scope {
		return fmt.Errorf("%w: it belongs to another listing or filter", store.ErrPageToken)
	}
	if bytes.Equal(t.Key, []byte("null")) || json.Unmarshal(t.Key, key) != nil {
		return fmt.Errorf("%w: not one of ours", store.ErrPageToken)
	}
	return nil
}
