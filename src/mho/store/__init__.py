"""Results on disk: what a run is, what it measured, and a directory that survives `kill -9`."""

from mho.store.header import DataInfo, RunHeader
from mho.store.measurement import Measurement
from mho.store.runs import RunStore, StoreWarning, load

__all__ = ["DataInfo", "Measurement", "RunHeader", "RunStore", "StoreWarning", "load"]
