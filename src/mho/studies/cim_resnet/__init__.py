"""The study `cim-resnet`: what σ means, networks, what is measured, claims and figures."""
