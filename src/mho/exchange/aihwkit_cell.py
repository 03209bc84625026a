"""AIHWKit's noise models with their conductance converters as a cell and an encoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from mho.devices.hermes import FITS
from mho.devices.pcm import PROGRAMMING_US
from mho.devices.reram_cmo import PROGRAMMING_US as CMO_US
from mho.devices.reram_cmo import READING, RELAXATION_MEAN, RELAXATION_STD, T_READ_S
from mho.devices.reram_wan import G_REFERENCE_US
from mho.devices.reram_wan import SIGMA_US as WAN_US
from mho.exchange.settings import OFF, Settings

_SCALES = {"prog_noise_scale": "programming_noise", "drift_scale": "drift", "read_noise_scale": "read_noise"}
_CLOSE = 1e-6


def cell_and_encoding(s: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """The cell of ``noise_model`` and the encoding of its ``g_converter``."""
    kind = str(s.take("noise_model.class", "PCMLikeNoiseModel"))
    encoding, g_min, g_max = _converter(s, kind)
    models = {
        "PCMLikeNoiseModel": _pcm, "CustomDriftPCMLikeNoiseModel": _custom, "HermesNoiseModel": _hermes,
        "StateIndependentNoiseModel": _independent, "ReRamWan2022NoiseModel": _wan, "ReRamCMONoiseModel": _cmo,
    }  # fmt: skip
    if kind not in models:
        s.refuse("noise_model.class", f"known are {', '.join(models)}; fit a cell instead: mho device fit")
        for key in s.under("noise_model"):
            s.became(key, "refused with its class")
        return {"kind": "ideal"}, encoding
    cell = models[kind](s, g_max)
    s.became("noise_model.class", f"cell.kind: {cell['kind']}", default="PCMLikeNoiseModel")
    if g_max is not None:
        cell["g_max_us"] = g_max
    if g_min is not None and (g_min or cell["kind"] == "reram_cmo"):
        cell["g_min_us"] = g_min
    return cell, encoding


def _converter(s: Settings, kind: str) -> tuple[dict[str, Any], float | None, float | None]:
    """The encoding, g_min and g_max; none where the cell's own stay."""
    c = "noise_model.g_converter"
    single = kind == "ReRamCMONoiseModel"
    name = str(s.take(f"{c}.class", "SingleDeviceConductanceConverter" if single else "SinglePairConductanceConverter"))
    g_max, g_min = (
        found if (found := s.optional(f"{c}.{key}")) is not None else s.optional(f"noise_model.{key}")
        for key in ("g_max", "g_min")
    )  # fmt: skip
    encoding = {"kind": "offset"} if name.startswith("SingleDevice") else {"kind": "differential", "sides": "one"}
    if not name.startswith(("SinglePair", "SingleDevice")):
        s.refuse(
            f"{c}.class", "pairs of different significance are no encoding here; pairs of the same are encoding.pairs"
        )
    else:
        note = "its range is that of the tile's weights, here symmetrical" if name.startswith("SingleDevice") else ""
        s.became(f"{c}.class", f"encoding.kind: {encoding['kind']}", note)
    for key, what, value in (("g_max", "cell.g_max_us", g_max), ("g_min", "cell.g_min_us", g_min)):
        for place in (f"{c}.{key}", f"noise_model.{key}"):
            s.became(place, "the cell's own" if value is None else f"{what}: {value:g}")
    s.became(f"{c}.scale_ratio", "nothing", "of the weights that were converted last")
    for key in s.under(c):
        if key.rpartition(".")[2] in ("f_lst", "g_lst", "invertibility_test"):
            s.became(key, "refused with its class" if not name.startswith("Single") else OFF)
    return encoding, g_min, g_max


def _factors(s: Settings, cell: dict[str, Any]) -> dict[str, Any]:
    for there, here in _SCALES.items():
        cell[here] = s.number(f"noise_model.{there}", 1.0)
        s.became(f"noise_model.{there}", f"cell.{here}: {cell[here]:g}")
    return cell


def _times(s: Settings, cell: dict[str, Any], t0_s: float | None, t_read_s: float) -> dict[str, Any]:
    for there, here, default in (("t_0", "t0_s", t0_s), ("t_read", "t_read_s", t_read_s)):
        value = s.optional(f"noise_model.{there}")
        value = default if value is None else value
        if value is not None:
            cell[here] = value
            s.became(f"noise_model.{there}", f"cell.{here}: {cell[here]:g}")
        else:
            s.became(f"noise_model.{there}", f"cell.{here}: that of the fit")
    return cell


def _own_programming(
    s: Settings, standard: tuple[float, ...], reference: float, g_max: float | None
) -> list[float] | None:
    """σ_p in µS by powers of r, where it is not the standard one."""
    given = s.numbers("noise_model.prog_coeff")
    base = s.optional("noise_model.prog_coeff_g_max_reference")
    base = reference if base is None else base
    if not base > 0:
        s.refuse("noise_model.prog_coeff_g_max_reference", "a conductance is above 0")
        base = reference
    own = given is not None and (
        len(given) != len(standard) or any(abs(a - b) > _CLOSE for a, b in zip(given, standard, strict=True))
    )
    own = own or abs(base - reference) > _CLOSE
    s.became("noise_model.prog_coeff", "cell.programming_us" if own else "the cell's own law")
    s.became("noise_model.prog_coeff_g_max_reference", f"σ_p is scaled by g_max / {base:g} µS")
    if not own:
        return None
    scale = (reference if g_max is None else g_max) / base
    return [float(c) * scale for c in (standard if given is None else given)]


def _pcm(s: Settings, g_max: float | None) -> dict[str, Any]:
    programming = _own_programming(s, PROGRAMMING_US, 25.0, g_max)
    cell = _times(s, _factors(s, {"kind": "pcm" if programming is None else "fitted"}), 20.0, 250e-9)
    return cell if programming is None else _as_fitted(cell, programming, g_max)


def _as_fitted(cell: dict[str, Any], programming: list[float], g_max: float | None) -> dict[str, Any]:
    from mho.fitting.shapes import PCM_NU, PCM_NU_STD, PCM_READING

    return {**cell, "g_max_us": g_max or 25.0, "programming_us": {"coefficients": programming, "low": 0.0}, "nu_folded": True,
            "nu": PCM_NU.as_dict(), "nu_std": PCM_NU_STD.as_dict(), "reading_q": PCM_READING.as_dict()}  # fmt: skip


def _custom(s: Settings, g_max: float | None) -> dict[str, Any]:
    programming = _own_programming(s, PROGRAMMING_US, 25.0, g_max)
    high = g_max or 25.0
    if programming is None:
        programming = [c * high / 25.0 for c in PROGRAMMING_US]
    cell = _as_fitted(_times(s, _factors(s, {"kind": "fitted"}), 20.0, 250e-9), programming, g_max)
    m = "noise_model.custom_drift_model"
    at = [g / high for g in s.numbers(f"{m}.g_lst") or []]
    for there, here in (("nu_mean_lst", "nu"), ("nu_std_lst", "nu_std")):
        values = s.numbers(f"{m}.{there}") or []
        if not at or len(values) != len(at):
            s.refuse(f"{m}.{there}", "it needs a value for each of g_lst")
        else:
            cell[here] = {"form": "table", "at": at, "coefficients": values}
            s.became(f"{m}.{there}", f"cell.{here}: a table of {len(at)} points")
    s.became(f"{m}.g_lst", "points of the tables, over g_max")
    return cell


def _hermes(s: Settings, g_max: float | None) -> dict[str, Any]:
    devices = s.whole("noise_model.num_devices", 2)
    if devices not in FITS:
        s.refuse("noise_model.num_devices", "one or two cells were measured")
        devices = 2
    s.became("noise_model.num_devices", f"cell.devices: {devices}")
    if _own_programming(s, FITS[devices].programming_us, FITS[devices].g_max_us, g_max) is not None:
        s.refuse("noise_model.prog_coeff", "the hermes cell has its own; fit a cell instead: mho device fit")
    return _times(s, _factors(s, {"kind": "hermes", "devices": devices}), FITS[devices].t0_s, 512e-9)


def _independent(s: Settings, g_max: float | None) -> dict[str, Any]:
    c = s.numbers("noise_model.prog_coeff") or [0.2, 0.0, 0.0]
    scale, read = (s.number(f"noise_model.{key}", 1.0) for key in ("prog_noise_scale", "read_noise_scale"))
    drift = s.number("noise_model.drift_scale", 1.0)
    nu, std = s.number("noise_model.drift_nu_mean", 0.1), s.number("noise_model.drift_nu_std", 0.05)
    high = g_max or 25.0
    polynomial = any(c[1:])
    cell: dict[str, Any] = {
        "kind": "power_law",
        "programming_us": scale * c[0],
        "nu": drift * nu,
        "nu_std": drift * std,
        "read_us": read,
    }
    if polynomial:
        cell = {"kind": "fitted", "g_max_us": high, "programming_us": {"coefficients": [scale * v for v in c], "low": 0.0},
                "nu": {"coefficients": [drift * nu]}, "nu_std": {"coefficients": [drift * std]}, "nu_folded": True,
                "reading_q": {"coefficients": [read / high]}}  # fmt: skip
    for key in ("prog_coeff", "prog_noise_scale"):
        s.became(f"noise_model.{key}", "cell.programming_us")
    for key, here in (("drift_nu_mean", "nu"), ("drift_nu_std", "nu_std"), ("drift_scale", "nu, cell.nu_std")):
        s.became(f"noise_model.{key}", f"cell.{here}")
    s.became("noise_model.read_noise_scale", "cell.reading_q" if polynomial else f"cell.read_us: {read:g}")
    return _times(s, cell, 20.0, 250e-9)


def _wan(s: Settings, g_max: float | None) -> dict[str, Any]:
    scale = s.number("noise_model.noise_scale", 1.0)
    base = s.number("noise_model.coeff_g_max_reference", G_REFERENCE_US)
    if not base > 0:
        s.refuse("noise_model.coeff_g_max_reference", "a conductance is above 0")
        base = G_REFERENCE_US
    s.became(
        "noise_model.noise_scale",
        f"cell.relaxation: {scale * G_REFERENCE_US / base:g}",
        "ages between its three are interpolated here",
    )
    s.became("noise_model.coeff_g_max_reference", f"cell.relaxation: {scale * G_REFERENCE_US / base:g}",
             f"σ is scaled by g_max / {base:g} µS there, by g_max / {G_REFERENCE_US:g} µS here")  # fmt: skip
    s.became("noise_model.prog_coeff_g_max_reference", "nothing", "it is read by nothing there")
    _published(s, "coeff_dic", [list(c) for c in WAN_US.values()])
    return {"kind": "reram_wan", "relaxation": scale * G_REFERENCE_US / base}


def _cmo(s: Settings, g_max: float | None) -> dict[str, Any]:
    accepted = s.number("noise_model.acceptance_range", 0.02)
    acceptance = "2%" if accepted == 2.0 else "0.2%"
    if accepted not in (0.02, 0.2, 2.0):
        s.refuse("noise_model.acceptance_range", "2 (%) and 0.2 (%) were measured")
    note = "0.02, the default, is no key of its table: there, too, it takes 0.2 %" if accepted == 0.02 else ""
    s.became("noise_model.acceptance_range", f"cell.acceptance: {acceptance}", note)
    _published(s, "coeff_dict", [list(c) for c in CMO_US.values()])
    _published(s, "decay_dict", [[RELAXATION_MEAN], list(RELAXATION_STD)])
    _published(s, "read_dict", [[READING], [T_READ_S]])
    s.became("noise_model.coeff_g_max_reference", "nothing", "its σ is in µS")
    return _factors(s, {"kind": "reram_cmo", "acceptance": acceptance})


def _published(s: Settings, key: str, tables: list[list[float]]) -> None:
    """Coefficients that are those of the paper are the cell's own; others are refused."""
    for name in s.under(f"noise_model.{key}"):
        value = s.take(name)
        given = sorted(abs(float(v)) for v in (value if isinstance(value, list) else [value]) if v is not None)
        same = (sorted(map(abs, table)) for table in tables)
        if any(len(given) == len(t) and np.allclose(given, t, rtol=1e-5, atol=0) for t in same) or not given:
            s.became(name, "the cell's own law")
        else:
            s.refuse(name, "the cell has the published numbers; fit one of your own: mho device fit")
