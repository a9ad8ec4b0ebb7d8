"""What authors of Hermes plugins test with: a fake model server, fixtures and conformance suites."""
