"""PostgreSQL's binary formats: values, arrays and COPY rows."""
