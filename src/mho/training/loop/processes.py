"""Several processes that train one network, as torchrun starts them."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mho.errors import WrongSetting


@dataclass(frozen=True)
class Processes:
    """The processes of a training, of which this is number `rank` of `world` and computes on `device`."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def parallel(self, net: nn.Module) -> nn.Module:
        """The network, with gradients that are means over the processes; the first one's weights are copied to all."""
        return net if self.world == 1 else nn.parallel.DistributedDataParallel(net)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes; each of them waits for it."""
        if self.world > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Until every process is here."""
        self.sum(torch.zeros(1, device=self.device))

    def align(self, net: nn.Module) -> None:
        """The first process's buffers in all of them: running statistics come from each one's own samples."""
        for buffer in net.buffers() if self.world > 1 else ():
            dist.broadcast(buffer, 0)


def join(devices: int, device: torch.device) -> Processes:
    """Meet the other processes.

    The group of processes stays until the interpreter ends, for the next training.

    Args:
        devices: How many processes there should be.
        device: Where this one computes.

    Raises:
        WrongSetting: There is another number of them.
    """
    met = dist.is_available() and dist.is_initialized()
    started = dist.get_world_size() if met else int(os.environ.get("WORLD_SIZE", "1"))
    if started != devices:
        script = Path(sys.argv[0]).name or "script.py"
        raise WrongSetting(
            f"devices = {devices}, but there {'is 1 process' if started == 1 else f'are {started} processes'}",
            f"start them with: torchrun --nproc-per-node {devices} {script}; or say devices={started}",
            path="devices",
        )
    if devices == 1:
        return Processes(device)
    if not met:
        # Its functions name the group that they find when they are first imported as their default, and so would keep it
        # alive; torch's optimisers import them.
        importlib.import_module("torch.distributed.nn")
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(leave)
    return Processes(device, dist.get_rank(), devices)


def leave() -> None:
    """End the group of processes and its threads, which now and then abort an interpreter that ends before them."""
    if dist.is_initialized():
        gc.collect()  # of the last training's DistributedDataParallel, which holds the group
        dist.destroy_process_group()
