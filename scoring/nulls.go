package scoring

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// withNulls makes the score columns of refused rows null and takes over rec. Score columns are those between the key
// columns and model_version.
func withNulls(rec arrow.Record, keys int, null []bool) arrow.Record {
	defer rec.Release()
	valid := make([]byte, bitutil.BytesForBits(int64(len(null))))
	nulls := 0
	for i, n := range null {
		bitutil.SetBitTo(valid, i, !n)
		if n {
			nulls++
		}
	}
	cols := append([]arrow.Array(nil), rec.Columns()...)
	end := rec.Schema().FieldIndices(versionColumn)[0]
	for i := keys; i < end; i++ {
		old := cols[i].Data()
		buffers := append([]*memory.Buffer{memory.NewBufferBytes(valid)}, old.Buffers()[1:]...)
		var data arrow.ArrayData
		if d, ok := cols[i].(*array.Dictionary); ok {
			data = array.NewDataWithDictionary(old.DataType(), old.Len(), buffers, nulls, 0, d.Dictionary().Data().(*array.Data))
		} else {
			data = array.NewData(old.DataType(), old.Len(), buffers, nil, nulls, 0)
		}
		cols[i] = array.MakeFromData(data)
		data.Release()
		defer cols[i].Release()
	}
	return array.NewRecord(rec.Schema(), cols, rec.NumRows())
}
