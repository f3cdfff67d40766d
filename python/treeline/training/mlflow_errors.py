"""What an error of the MLflow client means for a training: try again later, or change something first."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

from treeline.errors import ConfigError, TransientError, TreelineError, one_line

T = TypeVar("T")

#: Set before mlflow is imported, where the environment does not say otherwise: every call ends within a few minutes.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
TEMPORARY = {
    "INTERNAL_ERROR",
    "TEMPORARILY_UNAVAILABLE",
    "SERVICE_UNDER_MAINTENANCE",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "RESOURCE_CONFLICT",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "IO_ERROR",
}
FORBIDDEN = {"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}


def prepare_environment() -> None:
    """Bounds the MLflow client's retries and timeouts; call it before importing mlflow."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def classify(error: Exception, doing: str) -> TreelineError | None:
    """The error of ours that an error of the client stands for; None for one that is not about the server.

    Answers that are no JSON, server errors, refused connections and timeouts are transient. A refused login or
    permission, and what the server calls a wrong request, are not.
    """
    import requests
    from mlflow.exceptions import MlflowException

    text = one_line(error)[:400]
    if isinstance(error, MlflowException):
        if error.error_code in FORBIDDEN:
            return ConfigError(
                f"MLflow does not allow {doing}: {text}; check the credentials and permissions of the trainer"
            )
        if error.error_code in TEMPORARY:
            return TransientError(f"MLflow does not answer {doing}: {text}")
        return ConfigError(f"MLflow refuses {doing}: {text}")
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        if status in (401, 403):
            return ConfigError(
                f"MLflow does not allow {doing}: HTTP {status}; check the credentials and permissions of the trainer"
            )
        if 400 <= status < 500 and status not in (408, 425, 429):
            return ConfigError(f"MLflow refuses {doing}: {text}")
        return TransientError(f"MLflow does not answer {doing}: {text}")
    if isinstance(error, (requests.RequestException, ConnectionError, TimeoutError)):
        return TransientError(f"MLflow does not answer {doing}: {text}")
    return None


def talks_to_mlflow(doing: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorates a method that calls the server; doing completes "MLflow does not answer ...": "creating the run"."""

    def decorate(call: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(call)
        def guarded(*args: Any, **kwargs: Any) -> T:
            try:
                return call(*args, **kwargs)
            except TreelineError:
                raise
            except Exception as error:
                ours = classify(error, doing)
                if ours is None:
                    raise
                raise ours from error

        return guarded

    return decorate
