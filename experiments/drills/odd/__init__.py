"""A few hundred environments that go wrong, or are only unusual, crossed with every command."""
