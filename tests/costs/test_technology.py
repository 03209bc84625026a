"""The constants that are shipped, their scaling, and the models of converters against printed values."""

from __future__ import annotations

import pytest

from mho.costs import Technology
from mho.costs.converters import Block, FigureOfMerit, Survey
from mho.costs.scaling import area_factor, energy_factor
from mho.errors import WrongSetting


@pytest.mark.parametrize("name", Technology.presets())
def test_every_number_names_its_source(name):
    technology = Technology.preset(name)
    assert technology.name == name and Technology.parse(technology.as_dict()) == technology
    for part in (
        technology.cells,
        technology.adc,
        technology.timing,
        *technology.components.values(),
        *technology.standing,
    ):
        assert len(part.source) > 10


@pytest.mark.parametrize("node, rate, bits, expected", [
    (65, 1e8, 4, 3.50), (65, 1e8, 8, 6.49), (65, 1e8, 12, 110), (32, 1e8, 5, 0.94), (32, 1e8, 8, 1.71), (32, 1e9, 9, 4.69),
    (32, 1e9, 12, 133), (22, 1e8, 8, 0.85), (14, 1e8, 10, 0.70),
])  # fmt: skip
def test_the_survey_as_evaluated_elsewhere(node, rate, bits, expected):
    assert Survey().energy_pj(bits, node, rate) == pytest.approx(expected, rel=0.015)


def test_areas_of_the_survey_and_few_bits():
    assert Survey().area_um2(8, 32, 1e8) == pytest.approx(3937, rel=0.01)
    assert Survey().area_um2(8, 14, 1e8) == pytest.approx(1088, rel=0.01)
    assert Survey().energy_pj(2, 32, 1e8) == Survey().energy_pj(4, 32, 1e8)


def test_figures_of_merit_and_blocks():
    assert FigureOfMerit(walden_fj=30, source="s").energy_pj(8, 22, 1e8) == pytest.approx(7.68)
    # Schreier: 8 bits have 49.92 dB; 160 dB leave 10^(-11.008) J, a half of it a conversion
    assert FigureOfMerit(schreier_db=160, source="s").energy_pj(8, 22, 1e8) == pytest.approx(0.5e12 * 10**-11.008)
    isaac = Block(bits=8, energy=2, node_nm=32, source="s")
    assert isaac.energy_pj(4, 32, 1e9) == 1 and isaac.replace(per_bit="double").energy_pj(9, 32, 1e9) == 4
    assert isaac.energy_pj(8, 14, 1e9) < 2 and isaac.area_um2(8, 32, 1e9) is None


def test_scaling_follows_the_published_table():
    assert area_factor(65, 32) == pytest.approx(0.31, abs=0.01) and area_factor(32, 14) == pytest.approx(0.38, abs=0.01)
    assert energy_factor(32, 32) == 1 and energy_factor(32, 14) == pytest.approx(
        (0.2363 * 0.64 - 0.09675 * 0.8 + 0.02239) / (0.9559 * 0.64 - 0.7823 * 0.8 + 0.471)
    )
    assert energy_factor(65, 22) * energy_factor(22, 65) == pytest.approx(1)
    nodes = (130, 90, 65, 45, 32, 22, 16, 14, 10, 7)
    factors = [energy_factor(130, node) for node in nodes]
    assert factors == sorted(factors, reverse=True)
    for node in (5, 180, True):
        with pytest.raises(WrongSetting, match="technology node"):
            energy_factor(32, node)
