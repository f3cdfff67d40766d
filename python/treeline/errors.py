"""Errors that end a command, and the exit code that each of them stands for."""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_REFUSED = 10
EXIT_TRANSIENT = 75
EXIT_TERMINATED = 143


class TreelineError(Exception):
    """An error with one sentence for the person who reads it. Subclasses fix the exit code."""

    exit_code = EXIT_FAILED


class ConfigError(TreelineError):
    """The configuration cannot work: trying again changes nothing (exit 10)."""

    exit_code = EXIT_REFUSED


class DataError(TreelineError):
    """The feature table cannot be trained on: trying again changes nothing (exit 10)."""

    exit_code = EXIT_REFUSED


class TransientError(TreelineError):
    """Something outside is not available now: trying again may help (exit 75)."""

    exit_code = EXIT_TRANSIENT


def one_line(error: BaseException) -> str:
    """The message of an error on one line; its class where there is no message."""
    return " ".join(str(error).split()) or type(error).__name__
