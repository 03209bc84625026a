"""Where data sets lie. The same folder holds the published weights, so `mho.models` finds it too."""

from __future__ import annotations

from mho.models.root import VARIABLE, data_file, data_root

__all__ = ["VARIABLE", "data_file", "data_root"]
