"""The SDK: what becomes of records."""
