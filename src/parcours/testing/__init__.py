"""What tests of parcours, and of parts written for it, can use: conformance suites, strategies, receivers."""
