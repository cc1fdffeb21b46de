"""Networks that have learnt something, put to use: what `npnets classify` and `npnets evaluate` do."""
