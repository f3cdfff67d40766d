//go:build !purego

package kernel

// useWalkAVX2 puts the assembly of walk.go's functions into t.
func useWalkAVX2(*Table) {}

// useWalkAVX512 puts the assembly of walk.go's and blocks.go's functions into t.
func useWalkAVX512(t *Table) {
	t.RowMajor = rowMajor512
	t.WalkBlocks, t.WalkPair = walkBlocks512, walkPair512
	t.AddItems64, t.AddItems32 = addItems64, addItems32
	t.AddLeaves64, t.AddLeaves32 = addLeaves64, addLeaves32
}

// Each wrapper touches the last elements that the assembly reads or writes, so that a caller's mistake is a panic here.

func rowMajor512(dst, codes []uint16, stride, width, columns, rows int) {
	if rows <= 0 || columns <= 0 {
		return
	}
	_, _ = dst[(rows+31)&^31*width-1], codes[(columns+7)&^7*stride-1]
	for c := 0; c < columns; c += 8 {
		rowMajorAVX512(&dst[c], &codes[c*stride], 2*stride, 2*width, rows)
	}
}

func walkBlocks512(w *Walk, n int, t *Blocks, codes []uint16, width int) {
	if n <= 0 {
		return
	}
	_, _, _, _ = w.active[n-1], t.Nodes[2*BlockSlots-1], t.Exits[BlockSlots-1], codes[n*width-1]
	root, step := walkRootAVX512, walkStepAVX512
	if width == 64 {
		root, step = walkRootWideAVX512, walkStepWideAVX512
	}
	active := root(&w.active[0], &w.Items[0], &w.bits[0], n, &t.Nodes[0], &t.Exits[0], &codes[0])
	for ended := n - active; active > 0; {
		n = active
		active = step(&w.active[0], &w.Items[ended], &w.bits[0], n, &t.Nodes[0], &t.Exits[0], &codes[0])
		ended += n - active
	}
}

func walkPair512(w *Walk, n int, nodes, codes []uint16, width int) {
	if n <= 0 {
		return
	}
	_, _, _ = w.Numbers[n-1], codes[n*width-1], nodes[(1+BlockSlots)*2*BlockSlots-1]
	if width == 64 {
		walkPairWideAVX512(&w.Numbers[0], &w.bits[0], n, &nodes[0], &codes[0])
		return
	}
	walkPairAVX512(&w.Numbers[0], &w.bits[0], n, &nodes[0], &codes[0])
}

func addItems64(acc []float64, items []uint32, leaves []float64) {
	if len(items) > 0 {
		walkAdd64(&acc[0], &items[0], &leaves[0], len(items))
	}
}

func addItems32(acc []float32, items []uint32, leaves []float32) {
	if len(items) > 0 {
		walkAdd32(&acc[0], &items[0], &leaves[0], len(items))
	}
}

func addLeaves64(acc []float64, numbers []uint32, leaves []float64) {
	if n := len(numbers); n > 0 {
		_, _ = acc[n-1], numbers[:(n+7)&^7]
		walkGather64AVX512(&acc[0], &numbers[0], &leaves[0], n)
	}
}

func addLeaves32(acc []float32, numbers []uint32, leaves []float32) {
	if n := len(numbers); n > 0 {
		_, _ = acc[n-1], numbers[:(n+15)&^15]
		walkGather32AVX512(&acc[0], &numbers[0], &leaves[0], n)
	}
}
