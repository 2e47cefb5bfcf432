"""BuildingControl over SOAP: two contracts, one circuit breaker and one call at a time for each BMS."""
