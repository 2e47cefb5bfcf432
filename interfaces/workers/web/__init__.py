"""The web worker: uvicorn with bounds on what one connection may take."""
