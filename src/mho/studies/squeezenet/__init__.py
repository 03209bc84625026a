"""The study `squeezenet-drift`: its networks, arms, claims and figures."""
