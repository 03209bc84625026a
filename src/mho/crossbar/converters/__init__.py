"""Circuits of ADCs, one file each: how a code is found from parts that are not exact."""
