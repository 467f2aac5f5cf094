"""What is known of the locked packages: their holes, and a bill of what the workflow is made of."""
