package file

import (
	"os"
	"path/filepath"
	"testing"
)

func seeds(f *testing.F, names ...string) {
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join("testdata", n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

func FuzzParquet(f *testing.F) {
	seeds(f, "int96.parquet", "decimalints.parquet", "nested.parquet", "brotliv2.parquet", "lz4.parquet", "duckdbv2.parquet", "delta1.parquet", "v2.parquet")
	eight := make([]byte, 8)
	f.Add(forged{physical: physDbl, rows: 1, pages: []page{{pageDictionary, 1, encPlain, 8, eight}, {pageData, 1, encRLEDictionary, 3, []byte{1, 2, 0}}}}.bytes())
	f.Fuzz(func(t *testing.T, b []byte) { checkFile(t, b, ".parquet") })
}

func FuzzCSV(f *testing.F) {
	seeds(f, "simple.csv")
	f.Add([]byte("a,\"b\nc\"\r\n1,\"x\"\"y\"\r\n,\n"))
	f.Fuzz(func(t *testing.T, b []byte) { checkFile(t, b, ".csv") })
}
