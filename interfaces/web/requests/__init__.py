"""Parts of requests that several routes read: paging, `as_of`, visibility."""
