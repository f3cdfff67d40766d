"""What the commands share: exit codes, the last line of stderr, and the end by SIGTERM."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from treeline.errors import EXIT_FAILED, EXIT_OK, EXIT_REFUSED, EXIT_TERMINATED, TreelineError, one_line


def run(action: Callable[[], None]) -> int:
    """Runs action and returns the exit code. The last line on stderr of one that fails begins with "error: "."""
    try:
        action()
    except TreelineError as error:
        _say(one_line(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return _fault(error)
        _say(f"the disk is full: {one_line(error)}")
        return EXIT_REFUSED
    except MemoryError:
        _say("out of memory: train on fewer rows, or give the trainer more memory")
        return EXIT_FAILED
    except Exception as error:
        return _fault(error)
    return EXIT_OK


def _fault(error: Exception) -> int:
    traceback.print_exception(error)
    _say(f"{type(error).__name__}: {one_line(error)}")
    return EXIT_FAILED


def _say(message: str) -> None:
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr, flush=True)


def on_sigterm(end: Callable[[], None]) -> None:
    """From now on SIGTERM runs end in a thread of its own and exits 143, whatever the main thread is busy with.

    The main thread may be in a library's C code for minutes, where Python's own handlers do not run; the C handler,
    which writes the signal's number to a pipe, always does. Call it in the main thread, once.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.set_wakeup_fd(writer)

    def wait() -> None:
        while os.read(reader, 1) != bytes([signal.SIGTERM]):
            pass
        try:
            end()
        finally:
            print("error: terminated by SIGTERM", file=sys.stderr, flush=True)
            os._exit(EXIT_TERMINATED)

    threading.Thread(target=wait, name="sigterm", daemon=True).start()
