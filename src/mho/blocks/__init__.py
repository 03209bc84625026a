"""Networks that drop blocks: policies that learn which blocks a sample needs, and what they give and cost."""

from mho.blocks.chips import RandomChips
from mho.blocks.choices import Choices, every_choice
from mho.blocks.dropped import Dropped, drop
from mho.blocks.fixed import Subset, best_subset, random_keep
from mho.blocks.learn import learn
from mho.blocks.learning import Epoch
from mho.blocks.macs import BlockMacs, block_macs
from mho.blocks.reward import Reward
from mho.blocks.step import PolicyStep, policy_step

__all__ = [
    "BlockMacs", "Choices", "Dropped", "Epoch", "PolicyStep", "RandomChips", "Reward", "Subset", "best_subset", "block_macs",
    "drop", "every_choice", "learn", "policy_step", "random_keep",
]  # fmt: skip
