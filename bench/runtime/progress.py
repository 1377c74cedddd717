"""Shows the progress of a job: a bar on a terminal, otherwise a log line about every 12 seconds."""

import sys
import time

from tqdm import tqdm


class ProgressLine:
    """Progress display of a job. Call `update` after every step; a line is printed only when it is due.

    `done`: steps done before the first update; `speed`: also print the steps per second.
    """

    def __init__(
        self, name: str, total: int, unit: str, done: int, every_seconds: float = 12.0, *, speed: bool = False
    ):
        self.name, self.total, self.unit, self.every, self.speed = name, total, unit, every_seconds, speed
        self._start_time, self._start_step = time.monotonic(), done
        self._done, self._last = done, float("-inf")
        self._note = ""
        self._bar = tqdm(total=total, initial=done, unit=unit, desc=name) if sys.stderr.isatty() else None

    def note(self, values: dict[str, float]) -> None:
        """Set the logged values that all following progress lines show."""
        self._note = " ".join(f"{key} {value:.4g}" for key, value in values.items())

    def add(self, steps: int) -> None:
        self.update(self._done + steps)

    def update(self, done: int) -> None:
        self._done = done
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.update(max(0, done - self._bar.n))
            return
        now = time.monotonic()
        if now - self._last < self.every and done < self.total:
            return
        self._last = now
        left = ""
        if done > self._start_step:
            a_step = (now - self._start_time) / (done - self._start_step)
            seconds = a_step * (self.total - done)
            speed = f", {1 / max(a_step, 1e-9):,.1f} {self.unit}s/s" if self.speed else ""
            left = f"{speed}, {int(seconds // 60)} min {int(seconds % 60):02d} s left"
        share = 100 * done // max(1, self.total)
        self.print_line(f"{self.unit} {done}/{self.total} ({share} %){left} {self._note}".rstrip())

    def print_line(self, text: str) -> None:
        """Print one log line, prefixed with `name`."""
        line = f"[{self.name}] {text}"
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
