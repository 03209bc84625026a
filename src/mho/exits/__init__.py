"""Networks with exits: when a sample leaves, what is computed until then, and what a chip can choose."""

from mho.exits.answers import Answers, observe
from mho.exits.choose import Chosen, best_exit, front, tune
from mho.exits.decided import Decided, decide
from mho.exits.early import Early
from mho.exits.energy import ExitEnergy, exit_energy
from mho.exits.gate import Gate
from mho.exits.macs import ExitMacs, exit_macs
from mho.exits.rules import Entropy, Fixed, Margin, Probability, Rule

__all__ = [
    "Answers", "Chosen", "Decided", "Early", "Entropy", "ExitEnergy", "ExitMacs", "Fixed", "Gate", "Margin", "Probability",
    "Rule", "best_exit", "decide", "exit_energy", "exit_macs", "front", "observe", "tune",
]  # fmt: skip
