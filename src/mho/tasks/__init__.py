"""What is scored: a task turns a network's outputs and the targets into named scores, one value a sample."""

from mho.tasks.choices import Choices, EachChoice
from mho.tasks.exits import Exits
from mho.tasks.score import Score
from mho.tasks.several import Several
from mho.tasks.task import IGNORED, TASKS, Named, Scored, Task

__all__ = ["IGNORED", "TASKS", "Choices", "EachChoice", "Exits", "Named", "Score", "Scored", "Several", "Task"]
