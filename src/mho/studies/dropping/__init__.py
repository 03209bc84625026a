"""The study of policies that drop blocks."""
