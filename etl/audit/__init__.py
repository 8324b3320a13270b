"""Verifying an archive: the store, its catalog and, where asked for, the service it was made from."""
