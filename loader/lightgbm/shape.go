package lightgbm

import (
	"fmt"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// checkTree verifies that each split and each leaf has one parent, and the depth. Children stand after their parents,
// so that is a tree.
func (d *decoder) checkTree(t *forest.Tree) error {
	inner := len(t.Nodes)
	d.depth = append(d.depth[:0], make([]int32, inner)...)
	d.hasParent = append(d.hasParent[:0], make([]bool, 2*inner+1)...) // splits, then leaves
	depth, hasParent := d.depth, d.hasParent
	for i := range t.Nodes {
		if i > 0 && !hasParent[i] {
			return fault.At(fmt.Sprintf("node %d", i), fault.Malformed("it cannot be reached from the root"))
		}
		if err := limit.Check("Depth", d.limits.Depth, int64(depth[i])+1); err != nil {
			return fault.At(fmt.Sprintf("node %d", i), err)
		}
		for _, child := range []int32{t.Nodes[i].Left, t.Nodes[i].Right} {
			at := int(child)
			if child < 0 {
				at = inner + int(^child)
			} else {
				depth[child] = depth[i] + 1
			}
			if hasParent[at] {
				return fault.At(fmt.Sprintf("node %d", i), fault.Malformed("its child %d has another parent", child))
			}
			hasParent[at] = true
		}
	}
	return nil // 2*inner children of which none is shared: the root apart, each split and leaf has its parent
}

// reorder renumbers the splits of t depth-first, so that children stand after their parents.
func reorder(t *forest.Tree) error {
	n := len(t.Nodes)
	place := make([]int32, n)
	for i := range place {
		place[i] = -1
	}
	order := make([]int32, 0, n)
	for stack := []int32{0}; len(stack) > 0; {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if place[i] >= 0 {
			return fault.At(fmt.Sprintf("node %d", i), fault.Malformed("it has two parents or is its own ancestor"))
		}
		place[i] = int32(len(order))
		order = append(order, i)
		for _, child := range []int32{t.Nodes[i].Right, t.Nodes[i].Left} {
			if child >= 0 {
				stack = append(stack, child)
			}
		}
	}
	if len(order) != n {
		return fault.Malformed("%d of %d splits cannot be reached from the root", n-len(order), n)
	}
	nodes := make([]forest.Node, n)
	for to, from := range order {
		node := t.Nodes[from]
		if node.Left >= 0 {
			node.Left = place[node.Left]
		}
		if node.Right >= 0 {
			node.Right = place[node.Right]
		}
		nodes[to] = node
	}
	t.Nodes = nodes
	t.NodeCover, t.Gain = permute(t.NodeCover, order), permute(t.Gain, order)
	return nil
}

func permute(values []float64, order []int32) []float64 {
	if values == nil {
		return nil
	}
	out := make([]float64, len(order))
	for to, from := range order {
		out[to] = values[from]
	}
	return out
}
