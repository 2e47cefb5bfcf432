"""What-if: a DR event, or its settlement in money, computed again with a change; nothing is recorded."""
