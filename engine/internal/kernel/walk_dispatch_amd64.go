//go:build !purego

package kernel

import "unsafe"

// useWalkAVX2 puts the assembly of walk.go's functions into t.
func useWalkAVX2(t *Table) {
	t.Walk, t.WalkSets, t.Recode = walkScalar, walkSetsScalar, recode256
}

// useWalkAVX512 puts the assembly of walk.go's and blocks.go's functions into t.
func useWalkAVX512(t *Table) {
	t.Walk, t.WalkSets = walkScalar, walkSetsScalar
	t.RowMajor, t.Recode = rowMajor512, recode512
	t.WalkBlocks, t.WalkPair = walkBlocks512, walkPair512
	t.AddItems64, t.AddItems32 = addItems64, addItems32
	t.Prefetch = prefetch512
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

func walkBlocks512(w *Walk, n int, root, steps []uint32, c *Codes) {
	if n <= 0 {
		return
	}
	_, _ = w.active[n-1], root[2*RootSlots-1]
	_ = c.Rows[n*c.Width-1]
	first, next := walkRootAVX512, walkStepAVX512
	switch {
	case c.Width == 64 && c.Shifted:
		first, next = walkRootWideShiftAVX512, walkStepWideShiftAVX512
	case c.Width == 64:
		first, next = walkRootWideAVX512, walkStepWideAVX512
	case c.Shifted:
		first, next = walkRootShiftAVX512, walkStepShiftAVX512
	}
	active := first(&w.active[0], &w.Items[0], &w.bits[0], n, &root[0], &c.Rows[0])
	for ended := n - active; active > 0; {
		n = active
		active = next(&w.active[0], &w.Items[ended], &w.bits[0], n, &steps[0], &c.Rows[0])
		ended += n - active
	}
}

func walkPair512(w *Walk, n int, blocks []uint32, c *Codes) {
	if n <= 0 {
		return
	}
	_, _ = w.Numbers[n-1], blocks[(1+RootSlots)*RootSlots-1]
	_ = c.Rows[n*c.Width-1]
	walk := walkPairAVX512
	switch {
	case c.Width == 64 && c.Shifted:
		walk = walkPairWideShiftAVX512
	case c.Width == 64:
		walk = walkPairWideAVX512
	case c.Shifted:
		walk = walkPairShiftAVX512
	}
	walk(&w.Numbers[0], &w.bits[0], n, &blocks[0], &c.Rows[0])
}

func recode512(dst, src []uint16, from, to uint16) {
	if len(src) > 0 {
		_ = dst[len(src)-1]
		recodeAVX512(&dst[0], &src[0], len(src), int(from), int(to))
	}
}

func recode256(dst, src []uint16, from, to uint16) {
	n := len(src) &^ 15
	if n > 0 {
		_ = dst[n-1]
		recodeAVX2(&dst[0], &src[0], n, int(from), int(to))
	}
	recode(dst[n:], src[n:], from, to)
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

func prefetch512(p unsafe.Pointer, n int) {
	if n > 0 {
		walkPrefetch((*byte)(p), (n+63)/64)
	}
}

// walkScalar is Walk eight rows at a time.
func walkScalar(at []uint32, nodes []Node, codes []uint16, stride, root, depth int) {
	groups := len(at) / 8
	if rest := at[8*groups:]; len(rest) > 0 {
		walk(rest, nodes, codes[8*groups:], stride, root, depth)
	}
	at = at[:8*groups]
	for r := range at {
		at[r] = uint32(root)
	}
	const pairs = 16 // of steps in a call
	for ; depth > 0 && groups > 0; depth -= 2 * pairs {
		walkNodes(&at[0], (*byte)(unsafe.Pointer(&nodes[0])), &codes[0], 2*stride, groups, min((depth+1)/2, pairs))
	}
}

// walkSetsScalar is WalkSets five rows at a time.
func walkSetsScalar(at []uint32, nodes []Node, sets *Sets, codes []uint16, stride, root, depth int) {
	groups := len(at) / 5
	if rest := at[5*groups:]; len(rest) > 0 {
		walkSets(rest, nodes, sets, codes[5*groups:], stride, root, depth)
	}
	at = at[:5*groups]
	for r := range at {
		at[r] = uint32(root)
	}
	const steps = 32 // in a call
	for ; depth > 0 && groups > 0; depth -= steps {
		walkNodesSets(&at[0], (*byte)(unsafe.Pointer(&nodes[0])), &sets.First[0], &sets.Members[0], &codes[0], 2*stride, groups, min(depth, steps))
	}
}
