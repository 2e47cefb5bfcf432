"""The dispatch worker: calls the BMSs, polls curtailed buildings, and reports on the health of BMS calls."""
