"""The study of early exits."""
