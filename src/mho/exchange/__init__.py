"""Import from other tools: CrossSim's, NeuroSim's and AIHWKit's settings as a `Hardware`, AIHWKit's checkpoints."""

from mho.exchange.aihwkit_default import plain
from mho.exchange.aihwkit_weights import import_weights
from mho.exchange.read import TOOLS, import_hardware
from mho.exchange.settings import Became, Imported

__all__ = ["TOOLS", "Became", "Imported", "import_hardware", "import_weights", "plain"]
