package projection

import "github.com/treeline-ml/treeline/registry"

// NoteAliases are the aliases that a note says were left.
func NoteAliases(text string) map[string]string {
	return readNote(registry.State{Tags: map[string]string{NoteTag: text}}).Aliases
}
