package engine_test

import (
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
)

func TestConformance(t *testing.T) { enginetest.Run(t, engine.Compile) }

func TestConformanceOfMasks(t *testing.T) { enginetest.Run(t, engine.CompileMasks) }

func TestConformanceOfWalks(t *testing.T) { enginetest.Run(t, engine.CompileWalks) }
