package kernel_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Assembly for AVX2 has sixteen registers and no instruction of AVX-512, whatever the generator's allocator finds handy:
// on the machine that generates it, it would run all the same.
func TestRegistersOfAVX2(t *testing.T) {
	files, err := filepath.Glob("*_amd64.s")
	if err != nil || len(files) == 0 {
		t.Fatal("no assembly: ", err)
	}
	wide := regexp.MustCompile(`\bZ\d+\b|\bK[0-7]\b|\b[XY](1[6-9]|2\d|3[01])\b`)
	functions := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// The line of what a function requires is before its TEXT line.
		for _, function := range strings.Split(string(text), "\n// func ")[1:] {
			name, body, _ := strings.Cut(function, "(")
			if !strings.Contains(name, "AVX2") {
				continue
			}
			functions++
			if requires := regexp.MustCompile(`// Requires: .*AVX512.*`).FindString(body); requires != "" {
				t.Errorf("%s: %s: %s", file, name, requires)
			}
			for _, line := range strings.Split(body, "\n") {
				if !strings.HasPrefix(line, "//") && wide.MatchString(line) {
					t.Errorf("%s: %s: %s", file, name, strings.TrimSpace(line))
				}
			}
		}
	}
	if functions == 0 {
		t.Fatal("no function for AVX2 found")
	}
}
