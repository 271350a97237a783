"""As in the opentelemetry packages: the modules below are what apps import."""
