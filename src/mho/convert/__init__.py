"""How a model becomes analog: rules, replacement, placement report, self-test; and the way back."""

from mho.convert.convert import to_analog, to_digital
from mho.convert.placement import Placed, Placement
from mho.convert.rules import register
from mho.convert.self_test import self_test

__all__ = ["Placed", "Placement", "register", "self_test", "to_analog", "to_digital"]
