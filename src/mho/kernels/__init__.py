"""The passes over activations that cost time: conversion at the rows, noise and conversion at the columns."""

from mho.kernels.reference import add_noise, quantise

__all__ = ["add_noise", "quantise"]
