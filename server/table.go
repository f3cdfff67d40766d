package server

import (
	"context"
	"errors"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/internal/arrowguard"
	"github.com/treeline-ml/treeline/lifecycle/alert"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/feature"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/orchestration"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/schedule"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/lifecycle/training/local"
	"github.com/treeline-ml/treeline/lifecycle/trigger"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/mlflow"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// The server's own refusals.
var (
	// errTooLarge: a message or file is over its limit.
	errTooLarge = errors.New("server: over the limit")
	// errBusy: Options.ScoreBytes are in use.
	errBusy = errors.New("server: too much is being scored at this moment")
	// errDraining: the server is stopping.
	errDraining = errors.New("server: shutting down")
	// errNotConfigured: the daemon runs without what the call needs. The message names the keys to set.
	errNotConfigured = errors.New("server: not configured")
	// errSequence: the messages of a stream came in an order that has no meaning.
	errSequence = errors.New("server: message out of order")
)

// Ways out that several rules share.
const (
	freeSpace = "free space on the daemon's machine"
	tryLater  = "try again when the daemon is back"
	addModel  = "add the model's config.yml to the daemon's models"
)

// rule says what becomes of an error.
type rule struct {
	name   string // as docs/errors.md calls it
	err    error
	code   codes.Code
	reason lifecyclev1.ErrorReason
	retry  time.Duration // when it makes sense to try the same call again; 0: never
	next   string        // what the caller can do; appended to the message
}

// table is the only place that decides about codes. The first rule that an error matches counts: causes come before the
// errors that wrap them. docs/errors.md is generated from it.
func table() []rule {
	return []rule{
		// The call.
		{"server.errSequence", errSequence, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},
		{"server.errTooLarge", errTooLarge, codes.ResourceExhausted, lifecyclev1.ErrorReason_ERROR_REASON_LIMIT_EXCEEDED, 0, ""},
		{"server.errBusy", errBusy, codes.ResourceExhausted, lifecyclev1.ErrorReason_ERROR_REASON_OVERLOADED, time.Second, "try again shortly"},
		{"server.errNotConfigured", errNotConfigured, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_SERVICE_NOT_CONFIGURED, 0, ""},
		{"server.errDraining", errDraining, codes.Unavailable, lifecyclev1.ErrorReason_ERROR_REASON_DRAINING, 0, tryLater},

		// A full disk ends everything alike, whoever met it first.
		{"syscall.ENOSPC", syscall.ENOSPC, codes.ResourceExhausted, lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_FULL, time.Minute, freeSpace},
		{"warehouse.ErrFull", warehouse.ErrFull, codes.ResourceExhausted, lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_FULL, time.Minute, freeSpace},
		{"store.ErrFull", store.ErrFull, codes.ResourceExhausted, lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_FULL, time.Minute, freeSpace},

		// Models and their files.
		{"loader.ErrNotSupported", loader.ErrNotSupported, codes.Unimplemented, lifecyclev1.ErrorReason_ERROR_REASON_NOT_SUPPORTED, 0, "train without this feature"},
		{"loader.ErrLimit", loader.ErrLimit, codes.ResourceExhausted, lifecyclev1.ErrorReason_ERROR_REASON_LIMIT_EXCEEDED, 0, ""},
		{"loader.ErrMalformed", loader.ErrMalformed, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_INVALID, 0, "save the model again"},
		{"loader.ErrUnknown", loader.ErrUnknown, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_INVALID, 0, "send a LightGBM text file or an XGBoost JSON or UBJSON file"},
		{"forest.ErrInvalid", forest.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_INVALID, 0, "save the model again"},
		{"engine.ErrModel", engine.ErrModel, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_INVALID, 0, ""},
		{"engine.ErrNoCover", engine.ErrNoCover, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_INVALID, 0, "save the model with its statistics"},
		{"engine.ErrNotCompiled", engine.ErrNotCompiled, codes.Internal, lifecyclev1.ErrorReason_ERROR_REASON_INTERNAL, 0, ""},
		{"engine.ErrTier", engine.ErrTier, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_INTERNAL, 0, "start the daemon with another TREELINE_ENGINE_TIER, or without"},
		{"engine.ErrShape", engine.ErrShape, codes.Internal, lifecyclev1.ErrorReason_ERROR_REASON_INTERNAL, 0, ""},
		{"mlflow.ErrNotFound", mlflow.ErrNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_VERSION_NOT_FOUND, 0, "see what the registry has"},
		{"mlflow.ErrExists", mlflow.ErrExists, codes.Aborted, lifecyclev1.ErrorReason_ERROR_REASON_CONCURRENT_COMMIT, 0, "look at the registry and try again"},
		{"mlflow.ErrInvalid", mlflow.ErrInvalid, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_REGISTRY_UNAVAILABLE, 0, ""},
		{"mlflow.ErrDenied", mlflow.ErrDenied, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_REGISTRY_UNAVAILABLE, 0, "correct the credentials that the daemon's configuration names"},
		{"mlflow.ErrSource", mlflow.ErrSource, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_REGISTRY_UNAVAILABLE, 0, "serve the artifacts through the tracking server"},
		{"mlflow.ErrOptions", mlflow.ErrOptions, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_SERVICE_NOT_CONFIGURED, 0, ""},
		{"mlflow.ErrUnavailable", mlflow.ErrUnavailable, codes.Unavailable, lifecyclev1.ErrorReason_ERROR_REASON_REGISTRY_UNAVAILABLE, 30 * time.Second, "try again when the registry answers"},
		{"registry.ErrUnavailable", registry.ErrUnavailable, codes.Unavailable, lifecyclev1.ErrorReason_ERROR_REASON_REGISTRY_UNAVAILABLE, 30 * time.Second, "try again when the registry answers"},
		{"registry.ErrNotFound", registry.ErrNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_VERSION_NOT_FOUND, 0, "register the version again"},
		{"registry.ErrDigest", registry.ErrDigest, codes.DataLoss, lifecyclev1.ErrorReason_ERROR_REASON_ARTIFACT_DIGEST, 0, "register the files again, and check the daemon's disk"},
		{"registry.ErrPath", registry.ErrPath, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, "use a relative name with slashes"},
		{"registry.ErrTooLarge", registry.ErrTooLarge, codes.ResourceExhausted, lifecyclev1.ErrorReason_ERROR_REASON_LIMIT_EXCEEDED, 0, "raise the registry's limit in the daemon's configuration"},
		{"version.ErrName", version.ErrName, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},
		{"version.ErrInvalid", version.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},
		{"version.ErrModel", version.ErrModel, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_INVALID, 0, ""},

		// Who is Champion.
		{"gate.ErrNotPassed", gate.ErrNotPassed, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_GATE_FAILED, 0, ""},
		{"gate.ErrNotWaivable", gate.ErrNotWaivable, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_GATE_NOT_WAIVABLE, 0, ""},
		{"gate.ErrInvalid", gate.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},
		{"stage.ErrWrong", stage.ErrWrong, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_WRONG_STAGE, 0, ""},
		{"promotion.ErrWrongStage", promotion.ErrWrongStage, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_WRONG_STAGE, 0, ""},
		{"promotion.ErrGeneration", promotion.ErrGeneration, codes.Aborted, lifecyclev1.ErrorReason_ERROR_REASON_GENERATION_MISMATCH, 0, ""},
		{"promotion.ErrNoEarlier", promotion.ErrNoEarlier, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_NO_CHAMPION, 0, ""},
		{"audit.ErrInvalid", audit.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},
		{"promotion.ErrInvalid", promotion.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},

		// What runs by itself.
		{"training.ErrModel", training.ErrModel, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_TRAINER_NOT_CONFIGURED, 0, "set trainer_class in the model's config.yml and add the file to the daemon's models"},
		{"training.ErrInvalid", training.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},
		{"training.ErrEnded", training.ErrEnded, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_TRAINING_NOT_ACTIVE, 0, ""},
		{"local.ErrStart", local.ErrStart, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_TRAINER_NOT_CONFIGURED, 0, "correct training.python in the daemon's configuration"},
		{"local.ErrChild", local.ErrChild, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_TRAINER_NOT_CONFIGURED, 0, "correct the Python class; the daemon's log has its output"},
		{"local.ErrHandle", local.ErrHandle, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_TRAINING_NOT_FOUND, 0, "train again"},
		{"local.ErrResult", local.ErrResult, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_INVALID, 0, "correct the trainer"},
		{"feature.ErrModel", feature.ErrModel, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_CONFIGURED, 0, addModel},
		{"trigger.ErrUnknownModel", trigger.ErrUnknownModel, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_CONFIGURED, 0, addModel},
		{"trigger.ErrInvalid", trigger.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},
		{"schedule.ErrInvalid", schedule.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_SCHEDULE_INVALID, 0, ""},
		{"schedule.ErrNotFound", schedule.ErrNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_SCHEDULE_NOT_FOUND, 0, ""},
		{"schedule.ErrPaused", schedule.ErrPaused, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_SCHEDULE_PAUSED, 0, ""},
		{"orchestration.ErrUnknownModel", orchestration.ErrUnknownModel, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_CONFIGURED, 0, addModel},
		{"orchestration.ErrInvalid", orchestration.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},
		{"orchestration.ErrRunNotFound", orchestration.ErrRunNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_RUN_NOT_FOUND, 0, "name one that ListRuns shows"},
		{"orchestration.ErrNotActive", orchestration.ErrNotActive, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_RUN_NOT_ACTIVE, 0, ""},
		{"workflow.ErrCancelled", workflow.ErrCancelled, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_RUN_NOT_ACTIVE, 0, ""},
		{"workflow.ErrEnded", workflow.ErrEnded, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_RUN_NOT_ACTIVE, 0, ""},
		{"workflow.ErrStopped", workflow.ErrStopped, codes.Unavailable, lifecyclev1.ErrorReason_ERROR_REASON_DRAINING, 0, tryLater},
		{"workflow.ErrPayload", workflow.ErrPayload, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},
		{"workflow.ErrKind", workflow.ErrKind, codes.Internal, lifecyclev1.ErrorReason_ERROR_REASON_INTERNAL, 0, ""},
		{"workflow.ErrJournal", workflow.ErrJournal, codes.Internal, lifecyclev1.ErrorReason_ERROR_REASON_INTERNAL, 0, ""},
		{"alert.ErrInvalid", alert.ErrInvalid, codes.Internal, lifecyclev1.ErrorReason_ERROR_REASON_INTERNAL, 0, ""},
		{"monitor.ErrNoData", monitor.ErrNoData, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_STATISTICS_NOT_FOUND, 0, ""},
		{"monitor.ErrInput", monitor.ErrInput, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_SCHEMA_MISMATCH, 0, ""},

		// State.
		{"store.ErrModelNotFound", store.ErrModelNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, 0, "register it, or name one that ListModels shows"},
		{"store.ErrVersionNotFound", store.ErrVersionNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_VERSION_NOT_FOUND, 0, "name one that ListVersions shows"},
		{"store.ErrNoChampion", store.ErrNoChampion, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_NO_CHAMPION, 0, "promote a version, or name one in the request"},
		{"store.ErrNoEvidence", store.ErrNoEvidence, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_REPORT_NOT_FOUND, 0, "validate the version first"},
		{"store.ErrBatchNotFound", store.ErrBatchNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_BATCH_NOT_FOUND, 0, "name one that ListBatches shows"},
		{"store.ErrTrainingNotFound", store.ErrTrainingNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_TRAINING_NOT_FOUND, 0, "name one that ListTrainings shows"},
		{"store.ErrWorkflowNotFound", store.ErrWorkflowNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_RUN_NOT_FOUND, 0, "name one that ListRuns shows"},
		{"store.ErrStatisticsNotFound", store.ErrStatisticsNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_STATISTICS_NOT_FOUND, 0, "score a batch of the model first"},
		{"store.ErrDeliveryNotFound", store.ErrDeliveryNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_DELIVERY_NOT_FOUND, 0, "name one that ListDeliveries shows"},
		{"store.ErrAlertNotFound", store.ErrAlertNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_DELIVERY_NOT_FOUND, 0, ""},
		{"store.ErrPageToken", store.ErrPageToken, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, "start again without a page token"},
		{"store.ErrConflict", store.ErrConflict, codes.Aborted, lifecyclev1.ErrorReason_ERROR_REASON_CONCURRENT_COMMIT, 0, "look at the present state and try again"},
		{"store.ErrLocked", store.ErrLocked, codes.Unavailable, lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_UNAVAILABLE, 0, "stop the other process"},
		{"store.ErrClosed", store.ErrClosed, codes.Unavailable, lifecyclev1.ErrorReason_ERROR_REASON_DRAINING, 0, tryLater},
		{"store.ErrCorrupt", store.ErrCorrupt, codes.DataLoss, lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_DAMAGED, 0, ""},
		{"store.ErrNewerSchema", store.ErrNewerSchema, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_UNAVAILABLE, 0, ""},

		// Tables.
		{"warehouse.ErrTableNotFound", warehouse.ErrTableNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_TABLE_NOT_FOUND, 0, ""},
		{"warehouse.ErrEmptyTable", warehouse.ErrEmptyTable, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_TABLE_EMPTY, 0, ""},
		{"warehouse.ErrTargetMismatch", warehouse.ErrTargetMismatch, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_TARGET_MISMATCH, 0, "name another output table, or alter this one"},
		{"file.ErrInvalid", file.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_FILE_INVALID, 0, "write the file again"},
		{"warehouse.ErrColumn", warehouse.ErrColumn, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_SCHEMA_MISMATCH, 0, ""},
		{"warehouse.ErrSQL", warehouse.ErrSQL, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_SCHEMA_MISMATCH, 0, "correct data.features_sql in the model's config.yml"},
		{"warehouse.ErrDuplicateKey", warehouse.ErrDuplicateKey, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_DUPLICATE_KEY, 0, "make the key columns unique, or restrict the batch to one date"},
		{"warehouse.ErrNullKey", warehouse.ErrNullKey, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_NULL_KEY, 0, "fill the key columns in, or leave those rows out"},
		{"warehouse.ErrDamaged", warehouse.ErrDamaged, codes.DataLoss, lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_DAMAGED, 0, ""},
		{"warehouse.ErrClosed", warehouse.ErrClosed, codes.Unavailable, lifecyclev1.ErrorReason_ERROR_REASON_DRAINING, 0, tryLater},
		{"warehouse.ErrConflict", warehouse.ErrConflict, codes.Aborted, lifecyclev1.ErrorReason_ERROR_REASON_CONCURRENT_COMMIT, 0, "run the batch again"},
		{"warehouse.ErrLocked", warehouse.ErrLocked, codes.Unavailable, lifecyclev1.ErrorReason_ERROR_REASON_STORAGE_UNAVAILABLE, 0, "stop the other process"},
		{"warehouse.ErrSnapshotGone", warehouse.ErrSnapshotGone, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_SNAPSHOT_GONE, 0, "run the batch again on the present data"},
		{"warehouse.ErrBatchNotFound", warehouse.ErrBatchNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_BATCH_NOT_FOUND, 0, ""},

		// Scoring.
		{"scoring.ErrUnknownModel", scoring.ErrUnknownModel, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_CONFIGURED, 0, addModel},
		{"scoring.ErrRequest", scoring.ErrRequest, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, 0, ""},
		{"scoring.ErrRowRefused", scoring.ErrRowRefused, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_ROW_REFUSED, 0, "correct the row, or ask for null scores of such rows"},
		{"scoring.ErrBatchNotFound", scoring.ErrBatchNotFound, codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_BATCH_NOT_FOUND, 0, "name one that ListBatches shows"},
		{"scoring.ErrBatchNotRunning", scoring.ErrBatchNotRunning, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_BATCH_NOT_RUNNING, 0, ""},
		{"scoring.ErrCancelled", scoring.ErrCancelled, codes.Canceled, lifecyclev1.ErrorReason_ERROR_REASON_BATCH_CANCELLED, 0, ""},
		{"scoring.ErrInterrupted", scoring.ErrInterrupted, codes.Unavailable, lifecyclev1.ErrorReason_ERROR_REASON_BATCH_INTERRUPTED, 0, "run it again"},
		{"scoring.ErrDraining", scoring.ErrDraining, codes.Unavailable, lifecyclev1.ErrorReason_ERROR_REASON_DRAINING, 0, tryLater},
		{"scoring.ErrPostProcess", scoring.ErrPostProcess, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_POST_PROCESSOR_FAILED, 0, "correct the Python class that the model's inference_class names, and run the batch again"},
		{"scoring.ErrBatchOnly", scoring.ErrBatchOnly, codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_BATCH_ONLY, 0, ""},
		{"scoring.ErrInconsistent", scoring.ErrInconsistent, codes.Internal, lifecyclev1.ErrorReason_ERROR_REASON_INTERNAL, 0, ""},
		{"arrowguard.ErrUnsupported", arrowguard.ErrUnsupported, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_ARROW_INVALID, 0, ""},
		{"arrowguard.ErrInvalid", arrowguard.ErrInvalid, codes.InvalidArgument, lifecyclev1.ErrorReason_ERROR_REASON_ARROW_INVALID, 0, ""},
		{"arrowguard.ErrPanic", arrowguard.ErrPanic, codes.Internal, lifecyclev1.ErrorReason_ERROR_REASON_INTERNAL, 0, ""},
		{"arrowguard.ErrLimit", arrowguard.ErrLimit, codes.ResourceExhausted, lifecyclev1.ErrorReason_ERROR_REASON_LIMIT_EXCEEDED, 0, "send smaller record batches"},

		// The end of a call comes last: what stopped for another reason may wrap it.
		{"context.Canceled", context.Canceled, codes.Canceled, lifecyclev1.ErrorReason_ERROR_REASON_CALL_ENDED, 0, ""},
		{"context.DeadlineExceeded", context.DeadlineExceeded, codes.DeadlineExceeded, lifecyclev1.ErrorReason_ERROR_REASON_CALL_ENDED, 0, "allow more time"},
	}
}
