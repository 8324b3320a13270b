"""The store: schema, objects, commits and the lease."""
