"""The servers of NATS as the settings name them."""


def servers_of(nats_url: str) -> list[str]:
    """Each address of a list with commas, as a cluster has it; the client takes only lists, and any of them will do."""
    return [address.strip() for address in nats_url.split(",")]
