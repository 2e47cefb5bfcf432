"""As of: read models at an earlier position or moment of the log, and what-if comparisons."""
