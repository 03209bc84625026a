"""From one CMOS node to another: factors on the energy and the area of digital circuits.

E = a V² + b V + c with a, b, c of each node; areas against those at 130 nm. Nodes between two of the table are interpolated
linearly; outside of it nothing is known.

References:
    Stillmaker and Baas, Integration 58 (2017) 74-81, doi:10.1016/j.vlsi.2017.02.002; its table as transcribed in
    hwcomponents (MIT).
"""

from __future__ import annotations

from mho.errors import WrongSetting

SUPPLY_V = 0.8
"""V, the supply at which nodes are compared."""
_NODES: dict[float, tuple[tuple[float, float, float], float]] = {
    130: ((7.171, -6.709, 2.904), 1.0),
    90: ((4.762, -4.781, 2.092), 0.44),
    65: ((3.755, -4.398, 1.975), 0.23),
    45: ((1.103, -0.362, 0.2767), 0.16),
    32: ((0.9559, -0.7823, 0.471), 0.072),
    20: ((0.373, -0.1582, 0.04104), 0.033),
    16: ((0.2958, -0.1241, 0.03024), 0.03),
    14: ((0.2363, -0.09675, 0.02239), 0.027),
    10: ((0.2068, -0.09311, 0.02375), 0.016),
    7: ((0.1776, -0.09097, 0.02447), 0.0092),
}
"""Node in nm: the coefficients of its energy, and its area against 130 nm."""
LARGEST_NM, SMALLEST_NM = max(_NODES), min(_NODES)


def check_node(node_nm: float, path: str = "node_nm") -> float:
    """A node that can be scaled to.

    Raises:
        WrongSetting: It lies outside the table.
    """
    if isinstance(node_nm, bool) or not isinstance(node_nm, (int, float)) or not SMALLEST_NM <= node_nm <= LARGEST_NM:
        raise WrongSetting(
            f"nothing is known of a technology node of {node_nm} nm",
            f"give a node from {SMALLEST_NM:g} to {LARGEST_NM:g} nm", path=path,
        )  # fmt: skip
    return float(node_nm)


def energy_factor(from_nm: float, to_nm: float) -> float:
    """What the energy of an operation at one node is multiplied with at another."""
    return 1.0 if from_nm == to_nm else _at(to_nm)[0] / _at(from_nm)[0]


def area_factor(from_nm: float, to_nm: float) -> float:
    """What an area at one node is multiplied with at another."""
    return 1.0 if from_nm == to_nm else _at(to_nm)[1] / _at(from_nm)[1]


def _at(node_nm: float) -> tuple[float, float]:
    """Energy at the supply, in the paper's unit, and area against 130 nm."""
    node_nm = check_node(node_nm)
    above = min(node for node in _NODES if node >= node_nm)
    below = max(node for node in _NODES if node <= node_nm)
    share = 0.0 if above == below else (node_nm - below) / (above - below)

    def of(node: float) -> tuple[float, float]:
        (a, b, c), area = _NODES[node]
        return a * SUPPLY_V**2 + b * SUPPLY_V + c, area

    low, high = of(below), of(above)
    return low[0] + share * (high[0] - low[0]), low[1] + share * (high[1] - low[1])
