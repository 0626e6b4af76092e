"""Language-model cores: what grants lead to."""
