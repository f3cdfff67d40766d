package daemon

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
)

// ReasonFlag adds --reason, without which the command does not run.
func ReasonFlag(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "`WHY`, for the audit trail")
	_ = cmd.MarkFlagRequired("reason") // fails only for a flag that does not exist
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := CheckReason(*reason); err != nil {
			return err
		}
		return run(cmd, args)
	}
}

// CheckReason finds a reason that says nothing.
func CheckReason(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return exit.Usage("say why in a few words", "--reason is empty")
	}
	return nil
}
