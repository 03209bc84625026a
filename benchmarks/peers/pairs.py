"""AIHWKit with the two cells of a pair kept apart, to find out what its merging of them changes.

As published, AIHWKit's `apply_drift_noise` (inference/noise/base.py) starts from the programmed weight g⁺ - g⁻: it
converts the difference to a pair again, with a new scale from the largest programmed weight, so that one cell of each
pair is exactly 0 from then on. And its reference of the drift compensation is read from cells without 1/f noise, the
later reading from cells with it. Here the pair that was programmed ages, in the scale it was programmed with, and the
reference is read through the noise of a reading right after programming, as in mho.
"""

from __future__ import annotations

from typing import Any

from configs import G_MAX_US, peer
from torch import Tensor


def keep_pairs(config: Any, *, noisy_reference: bool = True) -> Any:
    """Change the noise model and the compensation of an AIHWKit configuration in place.

    Args:
        config: From `aihwkit_config`.
        noisy_reference: Also read the reference of the compensation with 1/f noise.
    """
    inference = peer("aihwkit.inference")

    class Pairs(inference.PCMLikeNoiseModel):
        """The same laws on a pair that stays a pair."""

        def apply_programming_noise(self, weights: Tensor) -> tuple[Tensor, list[Any]]:
            targets, params = self.g_converter.convert_to_conductances(weights)
            cells = [self.apply_programming_noise_to_conductance(g) for g in targets]
            nu = [self.generate_drift_coefficients(g) for g in targets]
            return self.g_converter.convert_back_to_weights(cells, params), [cells, nu, params]

        def apply_drift_noise(self, weights: Tensor, drift_noise_parameters: list[Any], t_inference: float) -> Tensor:
            cells, nu, params = drift_noise_parameters
            aged = [self.apply_drift_noise_to_conductance(g, n, t_inference) for g, n in zip(cells, nu, strict=True)]
            return self.g_converter.convert_back_to_weights(aged, params)

    class NoisyReference(inference.GlobalDriftCompensation):
        """The reference is a reading like any later one."""

        def init_baseline(self, tile: Any) -> Any:
            model = tile.rpu_config.noise_model
            tile.tile.set_weights(model.apply_drift_noise(tile.programmed_weights, tile.drift_noise_parameters, 0.0))
            return super().init_baseline(tile)

    config.noise_model = Pairs(g_max=G_MAX_US)
    if noisy_reference:
        config.drift_compensation = NoisyReference()
    return config
