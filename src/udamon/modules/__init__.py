"""Ready-made uses of schemes, with the parameters and defaults of DAMON's own modules (docs/damon.md#modules)."""
