"""What runs inside a job: small, and quick to import."""
