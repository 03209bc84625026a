from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

import mho
from mho.measure.names import name_of_data, name_of_network


class Cats(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return torch.zeros(2), i


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 2)

    def forward(self, x):
        return self.a(x)


def test_data_has_a_useful_name():
    named = Cats()
    assert name_of_data([1, 2], 1797) == name_of_data((x for x in ()), 1797) == "1,797 samples"
    assert name_of_data(DataLoader(named), 3) == name_of_data(DataLoader(Subset(named, [0])), 1) == "Cats"
    assert name_of_data(DataLoader(TensorDataset(torch.zeros(4))), 4) == "4 samples"
    named.name = "tabbies"
    assert name_of_data(DataLoader(named), 3) == "tabbies"


def test_a_network_has_a_useful_name():
    assert name_of_network(Own()) == name_of_network(mho.to_analog(Own(), "ideal")) == "Own"
    assert name_of_network(nn.DataParallel(Own())) == name_of_network(torch.compile(Own())) == "Own"
    assert name_of_network(nn.Sequential(nn.Linear(3, 2))) == "Sequential of 8 weights"
    assert name_of_network(mho.to_analog(nn.Linear(3, 2), "ideal")) == "Linear of 8 weights"
