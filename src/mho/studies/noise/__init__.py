"""The studies of resistance to noise on stored tensors, one file each, and what they share: `recipe`, `settings`, `measured`."""
