package mlmodel

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/treeline-ml/treeline/loader/internal/fault"
)

// The bounds of the YAML, many times what MLflow writes.
const (
	maxTokens = 1 << 17
	maxFlow   = 8   // brackets inside each other
	maxIndent = 128 // columns before a key
	maxLevels = 16
)

// node is a mapping of scalars and mappings; lists are left out.
type node struct {
	keys     []string
	scalars  map[string]string
	children map[string]*node
}

func (n *node) child(key string) *node { return n.children[key] }
func (n *node) text(key string) string { return n.scalars[key] }
func malformed(line int, s string) error {
	return fault.At(fmt.Sprintf("line %d", line), fault.Malformed("%s", s))
}

// parseYAML reads a document whose top is a mapping. A fault of the YAML library on bytes that nobody writes ends here.
func parseYAML(text []byte) (n *node, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = nil, fault.Malformed("the YAML cannot be read: %.200v", r)
		}
	}()
	if !utf8.Valid(text) {
		return nil, fault.Malformed("it is not UTF-8")
	}
	tokens := lexer.Tokenize(string(text))
	if err := check(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fault.Malformed("the YAML: %.200s", first)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, fault.Malformed("%d YAML documents, one is wanted", len(file.Docs))
	}
	return mapping(file.Docs[0].Body, 0)
}

// check bounds the work of the parser, which takes time by the square of the nesting.
func check(tokens token.Tokens) error {
	if len(tokens) > maxTokens {
		return fault.Malformed("it has %d YAML tokens, more than %d", len(tokens), maxTokens)
	}
	flow, entries, line := 0, 0, 0
	for _, t := range tokens {
		at := 0
		if t.Position != nil {
			at = t.Position.Line
			if at != line {
				line, entries = at, 0
			}
			if t.Position.IndentNum > maxIndent {
				return malformed(at, "it is indented too far")
			}
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType:
			entries++
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.MappingKeyType, token.DirectiveType:
			return malformed(at, fmt.Sprintf("%.20q: MLflow writes no anchors, aliases, tags and directives", t.Value))
		}
		if flow > maxFlow || entries > maxFlow {
			return malformed(at, "lists or mappings are nested too deep")
		}
	}
	return nil
}

// mapping converts a mapping; its values may be mappings and scalars.
func mapping(v ast.Node, level int) (*node, error) {
	if level > maxLevels {
		return nil, fault.Malformed("mappings are nested too deep")
	}
	var pairs []*ast.MappingValueNode
	switch v := v.(type) {
	case *ast.MappingNode:
		pairs = v.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{v}
	default:
		return nil, fault.Malformed("%s where a mapping is wanted", v.Type())
	}
	n := &node{scalars: map[string]string{}, children: map[string]*node{}}
	for _, p := range pairs {
		key, ok := scalar(p.Key)
		if !ok {
			return nil, fault.Malformed("a key that is no scalar")
		}
		n.keys = append(n.keys, key)
		switch value := p.Value.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			child, err := mapping(value, level+1)
			if err != nil {
				return nil, fault.At(fmt.Sprintf("%.80s", key), err)
			}
			n.children[key] = child
		default:
			if text, ok := scalar(value); ok {
				n.scalars[key] = text
			}
		}
	}
	return n, nil
}

// scalar returns the text of a scalar; null is "".
func scalar(v ast.Node) (string, bool) {
	switch v := v.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.NullNode:
		return "", true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return v.GetToken().Value, true
	}
	return "", false
}
