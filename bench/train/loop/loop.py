"""Training loop of the three engines: resume, stop on signal, timed checkpoints, checks for NaN, history, export.

An engine owns networks, optimisers, data and random generators and takes one step at a time. The loop owns everything
else that a long run on a shared machine needs. State is kept outside `out` until the run is finished, because the
workflow deletes the declared outputs of a killed job.
"""

import math
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from bench.errors import InputError, RunFailedError, first_line, writing
from bench.files import link_or_copy
from bench.run import Run
from bench.runtime.device import device_name
from bench.runtime.environment import check_threads
from bench.runtime.memory import is_out_of_memory, out_of_memory_message, peak_memory_bytes
from bench.runtime.processes import all_equal, any_process, barrier, rank, world_size
from bench.runtime.progress import ProgressLine
from bench.train.loop.checkpoint import Checkpoints, LoadedCheckpoint
from bench.train.loop.engine import Engine
from bench.train.loop.folders import (
    OUTPUTS,
    PARTS,
    check_out,
    claim_state,
    is_unmarked,
    own_run_files,
    release_state,
    remove_files,
    remove_temporaries,
)
from bench.train.loop.graphs import uses_graphs
from bench.train.loop.history import History
from bench.train.loop.micro_batches import free_memory
from bench.train.loop.monitor import Monitor
from bench.train.loop.record import Data, Outcome, write_record
from bench.train.loop.recovery import CHECK_EVERY, MAX_ROLLBACKS, Window, state_is_finite
from bench.train.loop.signals import StopRequest
from bench.train.loop.sinks import close_sinks, open_sinks, send_row


def run_loop(engine: Engine, run: Run, out: Path, state_dir: Path, data: Data) -> None:
    """Train `engine` to its last step and write the run folder. Raises RunFailedError, InputError, SystemExit."""
    Loop(engine, run, Path(out), Path(state_dir), data).run_to_end()


class Loop:
    """Training loop of one run, from its last checkpoint (if any) to its end.

    `row_start` is (seconds, images) at the last row of the history.
    """

    def __init__(self, engine: Engine, run: Run, out: Path, state_dir: Path, data: Data):
        self.engine, self.run, self.out, self.state_dir, self.data = engine, run, out, state_dir, data
        self.main = rank() == 0
        self.staging = state_dir / OUTPUTS
        if self.main:
            claim_state(state_dir)
        for folder in (self.staging, out):
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        if self.main:
            remove_temporaries(state_dir)
            remove_temporaries(out)
        barrier()
        self.checkpoints = Checkpoints(state_dir, run.hash, data.sha256)
        self.history = History(self.staging / "history.csv")
        self.window = Window()
        self.monitor = Monitor(engine.device)
        self.outcome = Outcome(
            unit=engine.unit,
            device=device_name(engine.device),
            precision=run.compute.precision,
            compile=run.compute.compile,
            cuda_graphs=uses_graphs(run.compute, engine.device),
            threads=torch.get_num_threads(),
        )
        self.done = 0
        self.updated_at = self.saved_at = time.monotonic()
        self.row_start = (0.0, 0)

    def run_to_end(self) -> None:
        saved = self.checkpoints.load_latest()
        if saved is not None:
            self._check_environment(saved)
            self._restore(saved)
            self.outcome = Outcome(**{**saved.state["outcome"], "threads": torch.get_num_threads()})
            self.row_start = (self.outcome.seconds, self.outcome.images)
        if not all_equal(self.done, self.engine.device):
            raise InputError(
                f"{self.state_dir}: the processes found different checkpoints; use a folder that all processes share"
            )
        self.progress = ProgressLine(self.run.name, self.engine.total_steps, self.engine.unit, self.done)
        if self.monitor.problem is not None and self.main:
            self.progress.print_line(self.monitor.problem)
        self.sinks = open_sinks(self.run.name, self.out) if self.main else []
        self.updated_at = time.monotonic()
        try:
            with StopRequest() as stop:
                self._start(resumed=saved is not None)
                while self.done < self.engine.total_steps:
                    self._run_steps(stop)
            self._finish()
        except RunFailedError as error:
            self._fail(error)
            raise
        except (RuntimeError, MemoryError) as error:  # outside a training step, so the checkpoints are kept
            if not is_out_of_memory(error):
                raise
            reason = out_of_memory_message(error, None, self.engine.device)
            hint = f"the checkpoints in {self.state_dir} are kept; free memory and start again"
            raise InputError(f"{self.run.name}: {reason}; {hint}") from error
        finally:
            self._close()

    def _close(self) -> None:
        self.progress.close()
        close_sinks(self.sinks)

    def _start(self, resumed: bool) -> None:
        if resumed:
            self.progress.print_line(f"resumed at {self.engine.unit} {self.done} of {self.engine.total_steps}")
            return
        if self.main:
            remove_files(own_run_files(self.staging, unmarked=True), self.staging)  # left by an earlier run
            self.history = History(self.staging / "history.csv")
            self.engine.observe(0, self.staging)
        self._save()

    def _run_steps(self, stop: StopRequest) -> None:
        failure = None
        try:
            self.window.add(self.engine.step(self.done))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failure = error.with_traceback(None)  # the traceback would keep the step's tensors alive
        if failure is not None:
            self._out_of_memory(failure)
            return
        self.done += 1
        self.outcome.steps = self.done
        self.outcome.images += self.engine.images_per_step
        last = self.done == self.engine.total_steps
        checking = last or self.done % CHECK_EVERY == 0
        if checking and self._roll_back_if_bad(self.window.not_finite()):
            return
        if last or self.done % self.run.compute.log_every == 0:
            self._log()
        if self.main:
            self.engine.observe(self.done, self.staging)
            self.progress.update(self.done)
        # processes agree to stop by a collective operation, which runs only at checks, where they synchronise anyway
        if checking or world_size() == 1:
            self._stop_or_save(stop)

    def _stop_or_save(self, stop: StopRequest) -> None:
        device = self.engine.device
        stopping = any_process(stop.number is not None, device)
        due = time.monotonic() - self.saved_at >= self.run.compute.checkpoint_seconds or (
            hasattr(self.engine, "ends_part") and self.engine.ends_part(self.done)
        )
        if not any_process(stopping or due, device):
            return
        if self._save() and stopping:
            number = stop.number or signal.SIGTERM
            self.progress.print_line(
                f"stopping on signal {int(number)}, checkpoint saved at {self.engine.unit} {self.done}"
            )
            raise SystemExit(128 + number)

    def _log(self) -> None:
        """Add a row to the history unless a value is not finite. In that case, the next check rolls back."""
        means = self.window.means()
        if not all(map(math.isfinite, means.values())):
            return
        self._update_usage()
        seconds, images = self.row_start
        row: dict[str, float | int | None] = {"step": self.done, **means, **self.engine.learning_rates()}
        row["images_per_second"] = (self.outcome.images - images) / max(1e-9, self.outcome.seconds - seconds)
        row["seconds"] = self.outcome.seconds
        row.update(self.monitor.sample())
        if self.outcome.energy_joules is not None:
            row["gpu_energy_joules"] = self.outcome.energy_joules
        self.row_start = (self.outcome.seconds, self.outcome.images)
        self.window.clear()
        if self.main:
            self.history.add(row)
            self.progress.note(means)
            send_row(self.sinks, self.done, row)

    def _save(self) -> bool:
        """Save a checkpoint and return True, or roll back and return False if the state is not finite."""
        state = {"engine": self.engine.state_dict(), "window": self.window.state_dict()}
        bad = self.window.not_finite() or ([] if state_is_finite(state["engine"]) else ["network or optimiser state"])
        if self._roll_back_if_bad(bad):
            return False
        self._update_usage()
        if self.main:
            state["outcome"] = vars(self.outcome)
            self.checkpoints.save(self.done, state, _environment(self.engine.device))
        barrier()
        self.saved_at = time.monotonic()
        return True

    def _roll_back_if_bad(self, bad: list[str]) -> bool:
        """Roll back to the last checkpoint with new random streams if any process has names in `bad`.

        `bad` names the values that are not finite. Raises RunFailedError after too many rollbacks.
        """
        if not any_process(bool(bad), self.engine.device):
            return False
        reason = f"not finite: {', '.join(bad) or 'in another process'}"
        self.outcome.rollbacks.append({"step": self.done, "reason": reason})
        if len(self.outcome.rollbacks) > MAX_ROLLBACKS:
            raise RunFailedError(f"{reason} at {self.engine.unit} {self.done}, after {MAX_ROLLBACKS} rollbacks")
        self._reload_checkpoint(f"{reason} at {self.engine.unit} {self.done}")
        self.engine.reseed(len(self.outcome.rollbacks))
        return True

    def _reload_checkpoint(self, reason: str) -> None:
        saved = self.checkpoints.load_latest()
        if saved is None:
            raise RunFailedError(f"{reason}, and no checkpoint exists to roll back to")
        self._update_usage()
        self._restore(saved)
        self.row_start = (self.outcome.seconds, self.outcome.images)
        self.progress.print_line(f"{reason}; rolled back to {self.engine.unit} {self.done}")

    def _restore(self, saved: LoadedCheckpoint) -> None:
        try:
            self.engine.load_state_dict(saved.state["engine"])
            self.window.load_state_dict(saved.state["window"], self.engine.device)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            raise InputError(
                f"{self.state_dir}: the checkpoint of step {saved.step} does not fit this run ({first_line(error)}); "
                "delete the folder to train from scratch"
            ) from error
        self.done = saved.step
        if self.main:
            self.history.cut_after(self.done)

    def _check_environment(self, saved: LoadedCheckpoint) -> None:
        """Require the device type of the checkpoint, and set its thread count. Bit-equal results need both."""
        recorded, current = saved.environment, _environment(self.engine.device)
        if not isinstance(recorded.get("threads"), int) or not isinstance(saved.state.get("outcome"), dict):
            raise InputError(f"{self.state_dir}: the checkpoint is incomplete; delete the folder to train from scratch")
        if recorded.get("device") != current["device"]:
            raise InputError(
                f"{self.state_dir}: the checkpoint was written on {recorded.get('device')}, but this run uses "
                f"{current['device']}; set compute.device to resume, or delete the folder to train from scratch"
            )
        if recorded["threads"] != current["threads"] and self.engine.device.type == "cpu":
            check_threads(recorded["threads"], str(self.state_dir))
            torch.set_num_threads(recorded["threads"])
            note = f"resumed with the checkpoint's {recorded['threads']} threads instead of {current['threads']}"
            print(f"[{self.run.name}] {note}", file=sys.stderr)

    def _out_of_memory(self, error: BaseException) -> None:
        """Halve the engine's micro-batch and reload the last checkpoint, or fail if the engine cannot halve it."""
        if world_size() > 1:  # the other processes wait for this one in the middle of their step
            raise InputError(f"{self.run.name}: {self._memory_message(error)}; or use more processes")
        change = self.engine.shrink(error) if hasattr(self.engine, "shrink") else None
        if change is None:
            raise RunFailedError(self._memory_message(error, self._size_that_fits())) from error
        free_memory()
        self.outcome.events.append(f"{self.engine.unit} {self.done}: out of memory, {change}")
        self._reload_checkpoint(f"out of memory, {change}")

    def _size_that_fits(self) -> str | None:
        """Return a text with the size that fits in memory, or None if the engine cannot measure this size."""
        if not hasattr(self.engine, "size_that_fits"):
            return None
        self.progress.print_line("out of memory; measuring the size that fits")
        free_memory()
        try:
            return self.engine.size_that_fits()
        except (RuntimeError, MemoryError, ValueError):  # even the smallest attempt failed
            return None

    def _memory_message(self, error: BaseException, size_that_fits: str | None = None) -> str:
        images_per_pass = getattr(self.engine, "micro_batch", getattr(self.run.recipe, "batch_size", None))
        return out_of_memory_message(error, images_per_pass, self.engine.device, size_that_fits)

    def _update_usage(self) -> None:
        now = time.monotonic()
        self.outcome.seconds += now - self.updated_at
        self.updated_at = now
        peak = peak_memory_bytes(self.engine.device)
        self.outcome.peak_memory_bytes = max(peak, self.outcome.peak_memory_bytes or 0)
        spent = self.monitor.spent_joules()
        if spent is not None:
            self.outcome.energy_joules = (self.outcome.energy_joules or 0.0) + spent

    def _finish(self) -> None:
        """Export the run, with model.json last, then remove the checkpoints."""
        self._update_usage()
        if self.main:
            check_out(self.out, self.state_dir)  # checked again, because the folder may have changed since the start
            old = [path for path in own_run_files(self.out, is_unmarked(self.out)) if path.parent.name in PARTS]
            remove_files(old, self.out)  # left by an earlier run
            fields = self.engine.export(self.out)
            self._record_end({**self.outcome.training(), **fields})
        barrier()

    def _fail(self, error: RunFailedError) -> None:
        self._update_usage()
        if self.main:
            check_out(self.out, self.state_dir)
            self._record_end(self.outcome.training(), str(error))

    def _record_end(self, training: dict[str, Any], reason: str | None = None) -> None:
        """Write the record, then remove the state, so that a run can be resumed if a full disk prevents writing."""
        copied = self._copy_staging()
        self._close()
        write_record(self.out, self.run, self.data, training, reason)
        remove_files(copied, self.staging)
        release_state(self.state_dir)

    def _copy_staging(self) -> list[Path]:
        """Copy the outputs written during training to the run folder. The user's files are not copied or replaced."""
        own = {*own_run_files(self.out, is_unmarked(self.out)), *own_run_files(self.staging, unmarked=True)}
        found = [self.staging / "history.csv", *(path for part in PARTS for path in (self.staging / part).glob("*"))]
        targets = {path: self.out / path.relative_to(self.staging) for path in found if path.is_file()}
        copied = [path for path, target in targets.items() if path in own or not target.exists()]
        for path in copied:
            link_or_copy(path, targets[path])
        return copied


def _environment(device: torch.device) -> dict[str, Any]:
    return {"device": device.type, "threads": torch.get_num_threads()}
