package engine

import "github.com/treeline-ml/treeline/forest"

// CompileMasks and CompileWalks force one kernel wherever it can be used.
func CompileMasks(m *forest.Model, o Options) (*Program, error) { return compile(m, o, masksOnly) }

func CompileWalks(m *forest.Model, o Options) (*Program, error) { return compile(m, o, walksOnly) }
