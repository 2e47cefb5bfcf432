"""The tests. A package, so that an installed package of the same name (gmqtt ships one) never shadows it."""
