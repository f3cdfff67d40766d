package loader

import (
	"bytes"
	"strings"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/legacy"
	"github.com/treeline-ml/treeline/loader/mlmodel"
	"github.com/treeline-ml/treeline/loader/sklearn"
)

// sniffBytes is how much of a file its format is told by.
const sniffBytes = 4096

// format is a kind of file that a decoder exists for.
type format uint8

const (
	unrecognised format = iota
	lightgbmText
	xgboostJSON
	xgboostUBJSON
	xgboostBinary
	pythonPickle
	compressed // a pickle of joblib, or anything else
	zipArchive // skops, or anything else
	mlflowModel
)

// detect tells the format from the first bytes of a file.
func detect(head []byte) format {
	text := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case bytes.HasPrefix(head, []byte("tree\n")), bytes.HasPrefix(head, []byte("tree\r\n")):
		return lightgbmText
	case len(text) > 0 && text[0] == '{':
		if len(text) > 1 && strings.IndexByte("LliIUN$#", text[1]) >= 0 {
			return xgboostUBJSON
		}
		return xgboostJSON
	case legacy.Sniff(head):
		return xgboostBinary
	case sklearn.IsPickle(head):
		return pythonPickle
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return zipArchive
	case sklearn.IsCompressed(head):
		return compressed
	case mlmodel.Sniff(head):
		return mlflowModel
	}
	return unrecognised
}

// recognised is what errors say can be read.
const recognised = "what can be read: LightGBM text (save_model: begins with \"tree\" and \"version=\"), " +
	"XGBoost JSON and UBJSON (save_model: begins with \"{\"), XGBoost's old binary format (begins with \"binf\"), forests and " +
	"trees of scikit-learn and wrappers of LightGBM and XGBoost (skops, pickle, cloudpickle, joblib), MLflow model directories"

// unknown returns the error for a file that detect does not recognise, naming what it looks like.
func unknown(head []byte) error {
	look, hint := "its first bytes are of no model format that is known here", recognised
	if len(head) == 0 {
		look = "the file is empty"
	}
	for _, s := range []struct{ prefix, look, hint string }{
		{"PK\x03\x04", "a zip archive", "unpack it and give the model file in it; " + recognised},
		{"\x1f\x8b", "gzip", "unpack it first; " + recognised},
		{"x", "zlib", "unpack it first; " + recognised},
		{"BZh", "bzip2", "unpack it first; " + recognised},
		{"\xfd7zXZ", "xz", "unpack it first; " + recognised},
		{"\x5d\x00\x00", "lzma", "unpack it first; " + recognised},
		{"\x04\x22\x4d\x18", "lz4", "unpack it first; " + recognised},
		{"\x28\xb5\x2f\xfd", "zstd", "unpack it first; " + recognised},
		{"CBM1", "CatBoost's binary format", recognised},
		{"CONFIG-offset:", "a memory snapshot of XGBoost 1.0", "load it in XGBoost and save it with save_model()"},
		{"bs64", "XGBoost's base64 format", "load it in XGBoost 0.90 and save it with save_model()"},
		{"version https://git-lfs", "a Git LFS pointer, not the model", "fetch the file with `git lfs pull`"},
		{"PAR1", "Parquet", "a table is no model; " + recognised},
		{"ARROW1", "Arrow", "a table is no model; " + recognised},
		{"<", "XML or HTML", recognised},
		{
			"[", "a JSON array, as XGBoost's dump_model writes",
			"save the model with save_model(): a dump has lost its parameters",
		},
		{"booster[", "XGBoost's text dump", "save the model with save_model(): a dump has lost its parameters"},
		{"\xef\xbb\xbf", "text with a byte order mark", "an editor has put it there: save the model again"},
	} {
		if bytes.HasPrefix(head, []byte(s.prefix)) {
			look, hint = "it looks like "+s.look, s.hint
			break
		}
	}
	return &Error{Hint: hint, Err: fault.Unknown("no model: %s", look)}
}
