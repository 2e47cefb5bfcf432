"""The whole system on one machine: supervised worker processes and embedded servers."""
