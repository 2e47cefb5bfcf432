"""Settlement: how the readings of a DR event become money, by docs/settlement.md. Exact, and pure.

`settle(rule, event, steps, step_s=900)` settles one DR event, `settle_period` a month or a season, and
`resettlement_of(old, new)` tells what moved between two revisions, and why. `data/` holds the JSON Schema of a rule and
eleven real programmes.
"""
