"""The published studies, one file each: question, arms, metrics, checkable claims, figures."""
