package command

import (
	"errors"
	"strings"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/config"
	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/lifecycle/schedule"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// spoken is the text of an error without the names of our packages: what a file lacks is of interest, not which package
// noticed. Only whole texts of errors in the chain count, so that nothing of the user's own is lost. The daemon does the same
// with its messages.
func spoken(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*loader.Error](err); ok {
		text = without(text, e.Error(), "loader: ")
	}
	for _, known := range []struct {
		err    error
		prefix string
	}{
		{config.ErrInvalid, "config: "},
		{schedule.ErrInvalid, "schedule: "},
		{client.ErrAddress, "client: "},
		{file.ErrInvalid, "file: "},
		{forest.ErrInvalid, "forest: "},
		{engine.ErrModel, "engine: "},
		{engine.ErrShape, "engine: "},
		{engine.ErrNoCover, "engine: "},
	} {
		if errors.Is(err, known.err) {
			text = without(text, known.err.Error(), known.prefix)
		}
	}
	return text
}

// without drops the prefix of a part wherever the text has that part after a colon or at its beginning.
func without(text, part, prefix string) string {
	short := strings.TrimPrefix(part, prefix)
	if rest, ok := strings.CutPrefix(text, part); ok {
		text = short + rest
	}
	return strings.ReplaceAll(text, ": "+part, ": "+short)
}
