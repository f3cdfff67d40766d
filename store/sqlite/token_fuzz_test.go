package sqlite

import (
	"errors"
	"testing"

	"github.com/treeline-ml/treeline/store"
)

// FuzzToken: whatever a caller sends is a token of ours or store.ErrPageToken, and a token says what went into it.
func FuzzToken(f *testing.F) {
	good, err := sealToken("audit//0/", int64(7))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{good, "", "e30", "bnVsbA", "!!", good + "x"} {
		f.Add("audit//0/", s)
	}
	f.Fuzz(func(t *testing.T, scope, text string) {
		var key int64
		if err := openToken(scope, text, &key); err != nil && !errors.Is(err, store.ErrPageToken) {
			t.Fatalf("error is %v", err)
		}
		var pair [2]string
		if err := openToken(scope, text, &pair); err != nil && !errors.Is(err, store.ErrPageToken) {
			t.Fatalf("error is %v", err)
		}
		want := [2]string{"2026", "id"}
		sealed, err := sealToken("s", want)
		if err != nil {
			t.Fatal(err)
		}
		if err := openToken("s", sealed, &pair); err != nil || pair != want {
			t.Fatalf("%v came back as %v (%v)", want, pair, err)
		}
	})
}
