"""How one cell behaves: one law a file, pure functions on tensors of conductances in µS."""
