"""SIGTERM, SIGUSR1 and Ctrl-C make the training loop save a checkpoint and stop. A second signal stops immediately."""

import os
import signal
import threading
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequest:
    """Context manager in which the first stop signal sets `number` instead of ending the process."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            # print is not used, because it fails if the signal interrupts another print
            line = f"slim-bench: stopped by a second signal {number}; the last complete checkpoint is kept\n"
            os.write(2, line.encode())
            raise SystemExit(128 + number)
        self.number = number
