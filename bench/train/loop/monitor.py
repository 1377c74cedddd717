"""Resource use of a run: peak memory and, on a GPU, utilisation, memory and energy from NVML."""

import contextlib

import torch

from bench.errors import first_line
from bench.runtime.memory import peak_memory_bytes


class Monitor:
    """Sampler of the resource columns of history.csv. GPU columns are missing on a CPU or without NVML.

    `problem` describes why NVML does not work on a GPU. On a CPU, or if NVML works, `problem` is None.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.problem: str | None = None
        self._handle = self._nvml = None
        if device.type == "cuda":
            try:
                import pynvml

                pynvml.nvmlInit()
                uuid = str(torch.cuda.get_device_properties(device).uuid)
                name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
                self._handle, self._nvml = pynvml.nvmlDeviceGetHandleByUUID(name), pynvml
            except Exception as error:  # the driver library is missing, hidden by a container, or of another version
                self.problem = f"NVML does not work ({first_line(error)}), so GPU use and energy are not recorded"
        self._energy_read = self._energy()

    def sample(self) -> dict[str, float]:
        row: dict[str, float] = {"peak_memory_bytes": peak_memory_bytes(self.device)}
        if self._handle is not None:
            with contextlib.suppress(self._nvml.NVMLError):
                row["gpu_utilisation_percent"] = self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu
            with contextlib.suppress(self._nvml.NVMLError):
                row["gpu_memory_bytes"] = self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used
        return row

    def spent_joules(self) -> float | None:
        """Return the energy in J that the whole GPU used since the previous call, or None if this energy is unknown.

        The first call returns the energy since the monitor was created.
        """
        before, self._energy_read = self._energy_read, self._energy()
        return None if before is None or self._energy_read is None else self._energy_read - before

    def _energy(self) -> float | None:
        if self._handle is None:
            return None
        try:
            return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000.0
        except self._nvml.NVMLError:
            return None
