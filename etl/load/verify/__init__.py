"""Is a continent's store what this program writes, and is all of it there? Nothing is written here."""
