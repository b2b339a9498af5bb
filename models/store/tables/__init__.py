"""The stored form: SQLAlchemy rows, each class named …Row. Rows never leave the store."""
