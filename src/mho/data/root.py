"""Where data sets lie. The same folder holds the published weights, so `mho.models` finds it too."""

from __future__ import annotations

from mho.models.root import VARIABLE, Missing, data_file, data_root, folder, missing, user_folder

__all__ = ["VARIABLE", "Missing", "data_file", "data_root", "folder", "missing", "user_folder"]
