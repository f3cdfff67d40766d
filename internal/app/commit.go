package app

import (
	"os/exec"
	"strings"
)

// commitOf is the commit that is checked out in a folder: "" when it is under no version control, or git is not there.
func commitOf(dir string) string {
	out, err := exec.Command("git", "-C", dir, "rev-parse", "--verify", "HEAD").Output() //nolint:noctx // it reads two small files
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
